"""Files of known PSNR: made from photographs by several encoders, for fitting and judging the estimate."""

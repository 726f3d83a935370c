"""``python -m train fit|validate|test|report --config configs/train/default.yaml``."""

import sys
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from imgcompress.errors import ImgcompressError
from train.checkpoint import save_fit
from train.data import JudgmentData
from train.model import FittedDistance
from train.report import write_report

LAST = "checkpoints/last.ckpt"
CHECKPOINT_EPOCHS = 20


class _Trainer(Trainer):
    """A Trainer for which ``report`` is a word of the command line."""

    def report(self, model: FittedDistance, datamodule: JudgmentData, ckpt_path: str | None = None) -> None:
        """Writes the Markdown report of a fit.

        Args:
            model: the settings of the fit.
            datamodule: what it was fitted to.
            ckpt_path: of the fit; null for the last one under ``default_root_dir``.
        """
        self.validate(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=False, weights_only=True)
        print(write_report(model, datamodule, Path(self.default_root_dir) / "report"))  # noqa: T201


class TrainCLI(LightningCLI):
    """The commands; a fit that was cut off goes on, and a finished one is saved or refused."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds where the weights go."""
        parser.add_argument(
            "--output", type=Path, default=Path("out/train/weights.safetensors"), help="the fitted weights"
        )
        parser.add_argument(
            "--force", action="store_true", help="save weights that rank a study worse than their start"
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's, with ``report`` in place of ``predict``."""
        skipped = {
            "model",
            "dataloaders",
            "datamodule",
            "train_dataloaders",
            "val_dataloaders",
            "weights_only",
        }
        return dict.fromkeys(("fit", "validate", "test", "report"), skipped)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Logs and checkpoints lie under ``default_root_dir``."""
        settings = self._get(self.config_init, "trainer")
        root = Path(settings["default_root_dir"] or "out/train/default")
        checkpoints = ModelCheckpoint(
            (root / LAST).parent,
            (root / LAST).stem,
            every_n_epochs=CHECKPOINT_EPOCHS,
            enable_version_counter=False,
        )
        logger = TensorBoardLogger(root, name="logs", version="")
        callbacks = [checkpoints, *(settings["callbacks"] or [])]
        return super().instantiate_trainer(
            default_root_dir=root, logger=logger, callbacks=callbacks, **kwargs
        )

    def fit(self, ckpt_path: str | None = None, **arguments: Any) -> None:
        """Fits all folds, from the last checkpoint if there is one, and saves the result."""
        last = Path(self.trainer.default_root_dir) / LAST
        if ckpt_path is None and last.exists():
            ckpt_path = str(last)
        self.trainer.fit(ckpt_path=ckpt_path, weights_only=True, **arguments)
        if self.trainer.interrupted:
            return
        self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)
        settings = self.config["fit"]
        seed = int(settings["seed_everything"])
        report = save_fit(self.model, self.datamodule, settings["output"], seed=seed, force=settings["force"])
        print(report)  # noqa: T201

    def validate(self, **arguments: Any) -> None:
        """Prints the out-of-fold figures of a fit."""
        self.trainer.validate(**self._with_checkpoint(arguments))

    def test(self, **arguments: Any) -> None:
        """Prints the figures of the fit to everything."""
        self.trainer.test(**self._with_checkpoint(arguments))

    def report(self, **arguments: Any) -> None:
        """Writes the report of a fit."""
        assert isinstance(self.trainer, _Trainer)
        arguments = self._with_checkpoint(arguments)
        arguments.pop("weights_only")
        self.trainer.report(**arguments)

    def _with_checkpoint(self, arguments: dict[str, Any]) -> dict[str, Any]:
        path = arguments.get("ckpt_path") or Path(self.trainer.default_root_dir) / LAST
        if not Path(path).is_file():
            raise ImgcompressError(f"{path}: there is no fit yet; run python -m train fit first")
        return {**arguments, "ckpt_path": str(path), "weights_only": True}


def main(args: ArgsType = None) -> None:
    """Runs the command line.

    Args:
        args: in place of ``sys.argv``.
    """
    try:
        TrainCLI(
            FittedDistance,
            JudgmentData,
            trainer_class=_Trainer,
            seed_everything_default=1,
            save_config_kwargs={"overwrite": True},
            args=args,
        )
    except ImgcompressError as error:
        sys.exit(f"train: {error}")


if __name__ == "__main__":
    main()

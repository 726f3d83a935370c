"""What people see: VGG16 features, the distance over them, and where attention goes."""

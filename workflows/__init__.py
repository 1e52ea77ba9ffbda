"""The workflows that ship with Holdfast, one folder each; yours go beside them."""

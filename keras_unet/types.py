"""Names of the arrays and tensors that functions take and return."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""(h, w, channels), values 0..255."""

Mask = npt.NDArray[np.uint8]
"""Class ids (h, w), 255 where they do not count."""

Values = npt.NDArray[np.uint8] | npt.NDArray[np.int32]
"""What a mask's file says of each pixel (h, w), before that becomes class ids."""

Probability = npt.NDArray[np.float32]
"""(h, w, classes), which sum to one; of a binary network [background, foreground]."""

Tensor = Any
"""A symbolic or eager tensor: both stacks share no public name for it."""

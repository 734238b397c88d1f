"""Random masks and predictions, and what MONAI 1.6.1 says of them."""

import numpy as np
from scipy import ndimage


def random_masks():
    """Yields 20 masks (60, 90) of 0 and 1, each with a prediction that is like it."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        noise = rng.normal(size=(2, 60, 90))
        smooth = ndimage.gaussian_filter(noise[0], 4) * 8
        other = smooth + ndimage.gaussian_filter(noise[1], 2)
        yield (smooth > 0.3).astype(np.uint8), (other > 0.3).astype(np.uint8)


# compute_dice, compute_iou and compute_hausdorff_distance(percentile=95) of channel 1.
MONAI = [
    (0.886825, 0.796663, 3.0),
    (0.933004, 0.874421, 1.414214),
    (0.874029, 0.776245, 4.0),
    (0.855884, 0.748075, 2.828427),
    (0.850958, 0.74058, 4.242641),
    (0.902044, 0.821567, 3.0),
    (0.891682, 0.804536, 2.0),
    (0.885333, 0.794258, 3.0),
    (0.884166, 0.792381, 3.0),
    (0.927281, 0.864421, 2.0),
    (0.879755, 0.785323, 2.295308),
    (0.921359, 0.854185, 2.0),
    (0.830641, 0.710339, 5.541193),
    (0.895554, 0.810863, 2.236068),
    (0.915254, 0.84375, 3.295254),
    (0.895894, 0.81142, 2.0),
    (0.911597, 0.837555, 2.828427),
    (0.925728, 0.861726, 2.0),
    (0.879867, 0.785502, 5.656854),
    (0.839188, 0.722932, 5.719505),
]

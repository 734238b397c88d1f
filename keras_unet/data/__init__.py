"""From files on disk to batches.

Doors: ``pair``, ``folders``, ``layouts`` and ``pairs`` (which files belong together,
and what each pair is for), ``images`` and ``masks`` (one file at its own size),
``objects``, ``resize`` (at the network's), ``check`` (what a set holds),
``records``, ``pair_cache``, ``pieces``, ``pipeline`` (batches), ``augment``, ``warp``,
``rle``, ``demo.make``.
"""

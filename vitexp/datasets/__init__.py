"""Where images come from.

A source (a short name, a folder, parquet files, a hub id) is decoded once, by us, to square
uint8 images in a memory-mapped cache; everything after that sees an ImageSet.

    load.py         load(source) -> ImageSet; describe(source) -> (DataSpec, ImageSet)
    split.py        stratified parts, nested subsets
    locate.py       what a source string means
    folder.py, tables.py, hub.py, digits.py     the kinds of source
    decode.py       one encoded image -> upright RGB or grey
    cache.py        decoding a whole set to disk, and finding it again
"""

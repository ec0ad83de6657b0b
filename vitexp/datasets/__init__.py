"""Where images come from.

A source (a short name, a folder, files, a hub id) is decoded once, by us, to square uint8 images
in a memory-mapped cache; everything after that sees an ImageSet. Every file and row of a source is
in a split, or counted in `skipped` with its reason, or the source is refused.

    load.py         load(source) -> ImageSet; describe(source) -> (DataSpec, ImageSet)
    locate.py       what a source string means
    walk.py         what lies under a folder
    contents.py     which kind of data set its files are
    folder.py, listing.py, parquet.py, tables.py, arrays.py, shards.py, hub.py, digits.py
                    the kinds of source
    split_names.py  which split a name means, for all of them
    columns.py, labels.py   which column holds what; labels -> numbered classes
    split.py        stratified parts, nested subsets
    decode.py       one encoded image -> upright RGB or grey
    build.py, cache.py      decoding a whole set to disk, and finding it again
    near.py, fingerprint.py what the splits have in common, to the eye and to the byte
    remarks.py      all that is to be said about a set
"""

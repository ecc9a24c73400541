"""The compiled training core: C++ sources, and the extension module `_native` once it is built."""

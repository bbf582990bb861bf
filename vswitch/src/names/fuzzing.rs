//! Body of the fuzz target `dns`, so that tests run it too. Not part of the public interface.

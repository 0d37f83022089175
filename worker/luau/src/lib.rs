//! The room where Luau that a model wrote is compiled, linted, type-checked and run.

//! The program: parse the command line, call `ops`; nothing else.

fn main() {}

//! The tests of late linking. Whoever includes them has a function `config` with the choices to test.

mod background;
mod link;
mod remove;

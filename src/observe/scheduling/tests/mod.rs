//! Whole objects as placement reads them.

mod objects;
mod volumes;

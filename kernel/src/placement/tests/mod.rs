//! Placement as a whole, theme by theme.

mod affinity;
mod knowledge;
mod nodes;
mod properties;
mod sequence;
mod spread;
mod volumes;

//! placeholder

pub mod caption;
pub mod video;

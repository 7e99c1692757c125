//! The whole service, seen from outside.

mod contract;

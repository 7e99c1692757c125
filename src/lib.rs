//! Publish video to X from the chat you already sit in.

pub mod sandbox;

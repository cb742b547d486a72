//! The dashboard: a single-page application for the desktop's window and for the node's web server.
//!
//! State arrives as whole snapshots from a [`Backend`], is kept in one [`Session`] and shown by
//! pages made of components. The logic (sentences, ages, chart lines) is in plain functions in
//! `view`, which need no browser and are tested on the host.

mod app;
mod backend;
mod components;
mod pages;
mod route;
mod session;
mod view;

pub use app::{App, start};
pub use backend::Backend;
pub use session::Session;

//! The dashboard: one page application for the desktop's window and for the headless node's own web server.
//!
//! State arrives as whole snapshots from a [`backend`](Backend), is kept in one [`Session`] and shown by pages made of
//! components. Everything worth testing (which sentence, which age, which line a chart draws) is a plain function in
//! `view`, free of any browser.

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

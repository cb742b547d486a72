//! The entry point of the dashboard.

fn main() {
    vpnsentinel_ui::start();
}

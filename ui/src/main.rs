//! The dashboard's entry point in the browser and in the desktop's window.

fn main() {
    vpnsentinel_ui::start();
}

//! A virtual screen for desktop programs.
//!
//! It consists of an X server, a window manager, a panel with a tray, and a notification daemon, on
//! their own session bus. Its sockets are in the file system, so that a program in another network
//! namespace can connect to them. Everything ends when the [`Screen`] is dropped.

use crate::process::require_programs;
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

const TOOLS: [(&str, &str); 7] = [
    ("Xvfb", "xvfb"),
    ("dbus-daemon", "dbus"),
    ("xfwm4", "xfwm4"),
    ("xfce4-panel", "xfce4-panel"),
    ("dunst", "dunst"),
    ("import", "imagemagick"),
    ("gdbus", "libglib2.0-bin"),
];

/// Longest time until the desktop is ready. It takes a second or two on a quiet machine.
const READY: Duration = Duration::from_secs(20);

/// A configuration with one panel that contains only a tray. With it the panel's first-start dialog
/// does not appear.
const PANEL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="size" type="uint" value="28"/>
      <property name="icon-size" type="uint" value="22"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty"><property name="plugin-1" type="string" value="systray"/></property>
</channel>
"#;

/// A running virtual screen.
#[derive(Debug)]
pub struct Screen {
    directory: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// The running programs, which are killed when dropped.
    processes: Vec<Child>,
}

impl Screen {
    /// Starts the screen and waits until it shows tray icons and notifications.
    ///
    /// Its files are in `directory`.
    ///
    /// # Errors
    /// Fails if a program is missing or does not start.
    pub async fn start(directory: &Path) -> Result<Self> {
        require_programs(&TOOLS)?;
        for name in
            ["config/xfce4/xfconf/xfce-perchannel-xml", "config/dunst", "data", "cache", "run", "home"]
        {
            fs::create_dir_all(directory.join(name))?;
        }
        make_private(&directory.join("run"))?;
        fs::write(directory.join("config/xfce4/xfconf/xfce-perchannel-xml/xfce4-panel.xml"), PANEL)?;
        let mut screen =
            Self { directory: directory.to_owned(), environment: Vec::new(), processes: Vec::new() };
        let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
        screen.environment = vec![
            ("XDG_CONFIG_HOME", path("config")),
            ("XDG_DATA_HOME", path("data")),
            ("XDG_CACHE_HOME", path("cache")),
            ("XDG_RUNTIME_DIR", path("run")),
            ("HOME", path("home")),
            ("NO_AT_BRIDGE", "1".to_owned()),
            ("GTK_A11Y", "none".to_owned()),
            ("LIBGL_ALWAYS_SOFTWARE", "1".to_owned()),
            ("GDK_BACKEND", "x11".to_owned()),
        ];
        let display = screen.start_display().await?;
        screen.environment.push(("DISPLAY", display));
        let bus = format!("unix:path={}", path("run/bus"));
        screen.start_daemon(
            "dbus-daemon",
            &["--session", "--nofork", "--nopidfile", &format!("--address={bus}")],
        )?;
        screen.environment.push(("DBUS_SESSION_BUS_ADDRESS", bus));
        screen.wait_until("the session bus exists", || directory.join("run/bus").exists()).await?;
        screen.start_daemon("xfwm4", &["--compositor=off"])?;
        screen.start_daemon("dunst", &["-print"])?;
        screen.start_daemon("xfce4-panel", &["--disable-wm-check"])?;
        screen.wait_for_bus_name("org.freedesktop.Notifications").await?;
        screen.wait_for_bus_name("org.kde.StatusNotifierWatcher").await?;
        Ok(screen)
    }

    /// Sets a command's environment so that the program appears on this screen.
    pub fn set_environment(&self, command: &mut Command) {
        command.envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
    }

    /// Returns all notifications so far, as the notification daemon prints them.
    pub fn notifications(&self) -> String {
        fs::read_to_string(self.directory.join("dunst.log")).unwrap_or_default()
    }

    /// Returns the current tray items: bus names with paths.
    pub async fn tray_items(&self) -> Result<String> {
        self.get_property(
            "org.kde.StatusNotifierWatcher",
            "/StatusNotifierWatcher",
            "org.kde.StatusNotifierWatcher",
            "RegisteredStatusNotifierItems",
        )
        .await
    }

    /// Returns a property of the only tray item, such as `IconName` or `Title`.
    pub async fn tray_item(&self, property: &str) -> Result<String> {
        let items = self.tray_items().await?;
        let item = items.split('\'').nth(1).with_context(|| format!("no tray item in {items}"))?;
        let (name, path) = item.split_once('/').with_context(|| format!("{item} is not a tray item"))?;
        self.get_property(name, &format!("/{path}"), "org.kde.StatusNotifierItem", property).await
    }

    /// Saves a screenshot of the whole screen.
    pub async fn save_screenshot(&self, path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut command = Command::new("import");
        command.args(["-window", "root"]).arg(path);
        self.set_environment(&mut command);
        let status = timeout(READY, command.status()).await.context("the screenshot took too long")??;
        ensure!(status.success(), "cannot save a screenshot: import ended with {status}");
        Ok(())
    }

    async fn get_property(&self, name: &str, path: &str, interface: &str, property: &str) -> Result<String> {
        const METHOD: &str = "org.freedesktop.DBus.Properties.Get";
        let mut command = Command::new("gdbus");
        command.args([
            "call",
            "--session",
            "--dest",
            name,
            "--object-path",
            path,
            "--method",
            METHOD,
            interface,
            property,
        ]);
        self.set_environment(&mut command);
        let output = command.output().await?;
        ensure!(
            output.status.success(),
            "no {property} of {name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts the X server, which selects a free display, and returns its name.
    async fn start_display(&mut self) -> Result<String> {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset"]);
        command.stdout(Stdio::piped()).stderr(self.open_log("Xvfb")?).kill_on_drop(true);
        let mut server = command.spawn().context("cannot start Xvfb")?;
        let stdout = server.stdout.take().context("Xvfb has no output")?;
        let mut number = String::new();
        timeout(READY, BufReader::new(stdout).read_line(&mut number))
            .await
            .context("Xvfb did not start in time")??;
        self.processes.push(server);
        ensure!(!number.trim().is_empty(), "Xvfb found no free display: {}", self.read_log("Xvfb"));
        Ok(format!(":{}", number.trim()))
    }

    fn start_daemon(&mut self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(self.open_log(program)?).stderr(self.open_log(&format!("{program}.err"))?);
        self.set_environment(&mut command);
        self.processes.push(command.spawn().with_context(|| format!("cannot start {program}"))?);
        Ok(())
    }

    fn open_log(&self, program: &str) -> Result<fs::File> {
        let path = self.directory.join(format!("{program}.log"));
        fs::File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn read_log(&self, program: &str) -> String {
        fs::read_to_string(self.directory.join(format!("{program}.log"))).unwrap_or_default()
    }

    async fn wait_until(&self, what: &str, condition: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + READY;
        while !condition() {
            if Instant::now() >= deadline {
                bail!("not within {READY:?}: {what}");
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Waits until a program on the session bus owns a name.
    async fn wait_for_bus_name(&self, name: &str) -> Result<()> {
        let deadline = Instant::now() + READY;
        loop {
            let mut command = Command::new("gdbus");
            command.args([
                "call",
                "--session",
                "--dest",
                "org.freedesktop.DBus",
                "--object-path",
                "/org/freedesktop/DBus",
            ]);
            command.args(["--method", "org.freedesktop.DBus.NameHasOwner", name]);
            self.set_environment(&mut command);
            let output = command.output().await?;
            if String::from_utf8_lossy(&output.stdout).contains("true") {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "no program owns {name} on the session bus after {READY:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn make_private(directory: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("cannot create {} private", directory.display()))
}

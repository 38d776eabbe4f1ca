//! The program on a pseudo-terminal, and what a person would see there.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Rows and columns.
pub(crate) type Size = (u16, u16);

/// A terminal with the program on it. Dropped, it ends the program.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Runs the program, in an environment that names no deployment and no AWS account.
    pub(crate) fn run((rows, columns): Size, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let slave = OpenOptions::new().read(true).write(true).open(path.to_str().unwrap()).unwrap();
        tcsetwinsize(&master, size_of(rows, columns)).unwrap();
        // The program finds its terminal by its session, as under a shell.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_spillway")]).args(arguments);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TERM", "xterm-256color").env("AWS_EC2_METADATA_DISABLED", "true");
        let handle = || slave.try_clone().unwrap();
        let child = command.stdin(handle()).stdout(handle()).stderr(handle()).spawn().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let mut output = File::from(master);
        let keyboard = output.try_clone().unwrap();
        let seen = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails when the program has ended.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                seen.lock().unwrap().process(&bytes[..read]);
            }
        });
        Self { child, keyboard, screen }
    }

    /// What is on the screen, line by line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let screen = self.screen.lock().unwrap();
        let columns = screen.screen().size().1;
        screen.screen().rows(0, columns).map(|line| line.trim_end().to_owned()).collect()
    }

    /// Waits until `text` is on the screen.
    pub(crate) async fn until(&self, text: &str) {
        for _ in 0..1500 {
            if self.lines().iter().any(|line| line.contains(text)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never there: {text}\n{}", self.lines().join("\n"));
    }

    /// Types `keys`.
    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Changes the size of its window.
    pub(crate) fn resize(&mut self, (rows, columns): Size) {
        self.screen.lock().unwrap().screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.keyboard, size_of(rows, columns)).unwrap();
    }

    /// Waits for the program's end, and gives its exit code.
    pub(crate) fn ended(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Without its terminal the program ends too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size_of(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

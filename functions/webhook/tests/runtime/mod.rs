//! Lambda's Runtime API for a function as a process: events go in, answers and errors come out.

#[path = "../../../../tests/loopback.rs"]
pub(crate) mod loopback;

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What the function told the Runtime API.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It asks for an event.
    Next,
    /// It answers the last one.
    Answer(String),
    /// It failed on it.
    Error(String),
}

/// The function, running.
pub(crate) struct Running {
    process: Child,
    events: Sender<String>,
    told: Receiver<Told>,
}

impl Running {
    /// Starts `binary` with nothing in its environment but `variables` and what Lambda sets.
    pub(crate) fn start(binary: &str, variables: &[(&str, &str)]) -> Self {
        let (events, next) = channel::<String>();
        let (telling, told) = channel();
        let (next, telling) = (Mutex::new(next), Mutex::new(telling));
        let api = loopback::serve(move |path, _, body| {
            let tell = |told| telling.lock().unwrap().send(told).unwrap();
            if path.ends_with("/invocation/next") {
                tell(Told::Next);
                let event = next.lock().unwrap().recv().unwrap();
                let headers = vec![
                    ("Lambda-Runtime-Aws-Request-Id", "1".to_owned()),
                    ("Lambda-Runtime-Deadline-Ms", "4102444800000".to_owned()),
                    ("Lambda-Runtime-Invoked-Function-Arn", "arn".to_owned()),
                ];
                return (200, headers, event);
            }
            if path.ends_with("/response") {
                tell(Told::Answer(body.to_owned()))
            } else {
                tell(Told::Error(body.to_owned()))
            }
            (202, Vec::new(), String::new())
        });
        let process = Command::new(binary)
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", api.as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "function"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "group"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
            ])
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, events, told }
    }

    /// What it tells next.
    pub(crate) fn tells(&self) -> Told {
        self.told.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    /// Hands it an event.
    pub(crate) fn event(&self, event: &str) {
        self.events.send(event.to_owned()).unwrap();
    }

    /// Fails for want of its environment, names all that is missing, and goes on.
    pub(crate) fn names_what_is_missing(&self, event: &str) {
        for _ in 0..2 {
            assert_eq!(self.tells(), Told::Next);
            self.event(event);
            let Told::Error(said) = self.tells() else { panic!("it did not fail") };
            for name in [
                "SPILLWAY_STATE_TABLE",
                "SPILLWAY_SEND_QUEUE_URL",
                "SPILLWAY_DEAD_LETTER_QUEUE_URL",
                "SPILLWAY_RELEASE_QUEUE_URL",
                "SPILLWAY_SECRET_ID",
                "SPILLWAY_KMS_KEY",
                "SPILLWAY_STACK",
            ] {
                assert!(said.contains(name), "{name} is not named: {said}");
            }
            for given in ["SPILLWAY_SENDS_TABLE", "SPILLWAY_GRAPH_URL"] {
                assert!(!said.contains(given), "{given} is not missing: {said}");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

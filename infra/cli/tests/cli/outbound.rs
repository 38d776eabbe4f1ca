//! `spillway campaign send`.

use serde_json::{Value, json};

use crate::stand::{CREATOR, OTHER, Stand, file};

const FILE: &str = r#"[[account]]
id = "17841400000000001"
disclosure = "I am a bot."

[[account.campaign]]
id = "course"
keywords = ["course"]
messages = ["Shall I send the course? Answer YES"]
then = { answer = ["yes"], deliver = [{ text = "Here!" }] }

[[account.campaign]]
id = "news"
keywords = ["news"]
messages = ["The next course begins on Monday, {username|friend}"]

[[account.campaign]]
id = "named"
keywords = ["named"]
messages = ["Hi {username}"]
"#;

impl Stand {
    /// Somebody writes to the creator.
    async fn writes(&self, person: &str, text: &str) {
        let said = json!({ "account": CREATOR, "text": text, "person": person });
        let request = self.http.post(&self.served.addresses.inbox_url);
        let answer = request.body(said.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

fn person(n: u32) -> String {
    format!("52600000{n:07}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_is_sent_to_those_whose_window_is_open() {
    let stand = Stand::start().await;
    let path = file("outbound.toml", FILE);
    stand.run(&["campaign", "apply", path.to_str().unwrap(), "--prune", "--yes"]).await.ok();
    let shown = stand.run(&["account", "show", CREATOR]).await.ok().stdout;
    assert!(shown.contains("«I am a bot.»"), "{shown}");
    stand.served.stack.replace_process().unwrap();
    stand.comment(CREATOR, "the course, please", 0..2).await;
    for n in 0..2 {
        let list = ["send", "list", CREATOR, "--state", "sent", "--person", &person(n)];
        stand.until(&list, |list| list["sends"].as_array().unwrap().len() == 1).await;
    }
    stand.writes(&person(0), "yes").await;
    stand.writes(&person(1), "STOP").await;

    let list = format!("name,person\nAna,{}\nBen,{}\nCem,526\nAna,{0}\n", person(0), person(1));
    let people = file("people.csv", &list);
    let people = people.to_str().unwrap();
    let send = ["campaign", "send", "news", "--to", people];
    let dry = stand.json(&[&send[..], &["--dry-run"]].concat()).await;
    let counts = |view: &Value| {
        ["people", "repeated", "reached", "recorded"].map(|name| view[name].as_u64().unwrap())
    };
    assert_eq!(counts(&dry), [3, 1, 1, 0]);
    assert_eq!(dry["left_out"], json!({ "no_window": 1, "stopped": 1 }));
    let lines = dry["lines"].as_array().unwrap();
    let told = |nth: usize| (&lines[nth]["line"], &lines[nth]["left_out"]);
    assert_eq!(told(0), (&json!(2), &Value::Null));
    assert_eq!(told(1), (&json!(3), &json!("stopped")));
    assert_eq!(told(2), (&json!(4), &json!("no_window")));
    assert!(lines[0]["expected_at"].is_string(), "{dry}");

    stand.run(&send).await.failed(5, "this writes to 1 person in the name of account");
    let ran = stand.run(&[&send[..], &["--yes"]].concat()).await.ok().stdout;
    assert!(ran.contains("run first: 1 of 3 people"), "{ran}");
    assert!(ran.contains("       1  left out, stopped: they wrote STOP"), "{ran}");
    assert!(ran.ends_with("1 send recorded; they get slots within a minute\n"), "{ran}");
    let again = stand.json(&[&send[..], &["--yes"]].concat()).await;
    assert_eq!(counts(&again), [3, 1, 0, 0]);
    assert_eq!(again["left_out"]["in_run"], 1);
    let sent = ["send", "list", CREATOR, "--state", "sent", "--campaign", "news"];
    stand.until(&sent, |list| list["sends"].as_array().unwrap().len() == 1).await;
    let events = stand.json(&["events", CREATOR]).await;
    let is_run = |event: &&Value| event["event"] == "campaign_sent";
    let run = events["events"].as_array().unwrap().iter().find(is_run).unwrap();
    assert_eq!((&run["people"], &run["run"]), (&json!(1), &json!("first")));
    let second = [&send[..], &["--run", "second", "--dry-run"]].concat();
    assert_eq!(stand.json(&second).await["reached"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_is_refused_before_anything_changes() {
    let stand = Stand::start().await;
    let path = file("refused-runs.toml", FILE);
    stand.run(&["campaign", "apply", path.to_str().unwrap()]).await.ok();
    let broken = file("broken.csv", "person\n@ana\n526\n\n,x\n");
    let broken = broken.to_str().unwrap();
    let ran = stand.run(&["campaign", "send", "news", "--to", broken]).await;
    let ran = ran.failed(4, "is refused; nothing was changed");
    for line in [2, 5] {
        assert!(ran.stderr.contains(&format!("broken.csv:{line}: ")), "{}", ran.stderr);
    }
    let list = "person\n526\n";
    let send = |more: &[&'static str]| [&["campaign", "send"], more, &["--to", "-"]].concat();
    for (more, code, said) in [
        (send(&["none"]), 1, "no account has a campaign `none`"),
        (send(&["none", "--account", CREATOR]), 1, "there is no such campaign"),
        (send(&["named"]), 1, "write `{username}` with a fallback"),
        (send(&["news", "--account", "178"]), 1, "account 178 is not connected"),
        (send(&["news", "--run", " "]), 2, "write a name of 1 to 64 characters"),
    ] {
        stand.run_with(&more, list).await.failed(code, said);
    }
    stand.run(&["campaign", "pause", CREATOR, "news"]).await.ok();
    stand.run_with(&send(&["news"]), list).await.failed(1, "campaign `news` is paused");
    let other = FILE.replace(CREATOR, OTHER);
    let path = file("other-runs.toml", &other);
    stand.run(&["campaign", "apply", path.to_str().unwrap()]).await.ok();
    stand.run_with(&send(&["news"]), list).await.failed(2, "2 accounts have a campaign `news`");
    assert_eq!(stand.json(&["send", "list", CREATOR]).await["sends"], json!([]));
}

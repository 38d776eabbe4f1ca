//! The words by which people end and restart everything.

use crate::keyword::{Comment, Keyword, Matching};

/// Words that end everything, by language. None of them is an answer that a creator is likely to ask
/// for.
const STOP: &[(&str, &[&str])] = &[
    ("en", &["stop", "stop all", "unsubscribe", "opt out"]),
    ("de", &["stopp", "abmelden", "abbestellen"]),
    ("es", &["parar", "detener", "alto", "darme de baja"]),
    ("fr", &["arrêt", "arrêter", "arrête", "désabonner", "se désabonner"]),
    ("pt", &["pare", "parar", "sair", "descadastrar"]),
    ("it", &["ferma", "fermati", "smetti", "disiscrivimi"]),
    ("nl", &["stoppen", "afmelden", "uitschrijven"]),
    ("pl", &["zatrzymaj", "przestań", "wypisz"]),
    ("tr", &["dur", "durdur", "abonelikten çık"]),
    ("id", &["berhenti"]),
    ("vi", &["dừng", "dừng lại", "hủy đăng ký"]),
    ("ru", &["стоп", "отписаться", "отпиши", "хватит"]),
    ("uk", &["відписатися", "зупинити"]),
    ("ar", &["توقف", "إيقاف", "أوقف", "إلغاء الاشتراك"]),
    ("fa", &["توقف", "لغو اشتراک"]),
    ("he", &["עצור", "עצרי", "הפסק", "הסר"]),
    ("hi", &["रुको", "रोको", "बंद करो", "बंद"]),
    ("ja", &["ストップ", "停止", "配信停止", "やめて"]),
    ("ko", &["중지", "그만", "수신거부"]),
    ("zh", &["停止", "退订", "退訂", "取消订阅", "取消訂閱"]),
];

/// Words that restart everything, by language.
const START: &[(&str, &[&str])] = &[
    ("en", &["start", "unstop", "resume"]),
    ("de", &["starten", "anmelden", "weiter"]),
    ("es", &["empezar", "comenzar", "iniciar"]),
    ("fr", &["démarrer", "commencer", "reprendre"]),
    ("pt", &["começar", "iniciar", "voltar"]),
    ("it", &["inizia", "iniziare", "riprendi"]),
    ("nl", &["beginnen", "hervatten"]),
    ("pl", &["zacznij", "wznów"]),
    ("tr", &["başla", "başlat"]),
    ("id", &["mulai"]),
    ("vi", &["bắt đầu"]),
    ("ru", &["старт", "начать", "возобновить"]),
    ("uk", &["почати"]),
    ("ar", &["ابدأ", "بدء", "استئناف"]),
    ("fa", &["شروع"]),
    ("he", &["התחל", "התחילי", "המשך"]),
    ("hi", &["शुरू", "शुरू करो"]),
    ("ja", &["スタート", "開始", "再開"]),
    ("ko", &["시작", "다시 시작"]),
    ("zh", &["开始", "開始", "恢复"]),
];

/// What a message asks of the automation itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Leave the person alone.
    Stop,
    /// Write to them again.
    Start,
}

/// The words of an account, ready to be looked for: its own beside those of twenty languages.
///
/// A message is a command only as a whole: «Stop!» and «STOP 🛑» are, «don't stop» and «stop motion
/// guide» are not. Words are compared as keywords of comments are, whatever their case, accents and
/// punctuation.
#[derive(Clone, Debug)]
pub struct StopWords {
    stop: Vec<Keyword>,
    start: Vec<Keyword>,
}

impl Default for StopWords {
    fn default() -> Self {
        Self::with(&[], &[])
    }
}

impl StopWords {
    /// Adds an account's own words. The built-in ones stay: nobody can be kept from leaving.
    pub fn with(stop: &[String], start: &[String]) -> Self {
        let fold = |own: &[String], known: &[(&str, &[&str])]| {
            let known = known.iter().flat_map(|(_, words)| words.iter().copied());
            let all = known.chain(own.iter().map(String::as_str)).map(Keyword::new);
            all.filter(|word| !word.is_empty()).collect()
        };
        Self { stop: fold(stop, STOP), start: fold(start, START) }
    }

    /// Returns the command that a message is, if it is one.
    pub fn command(&self, text: &str) -> Option<Command> {
        let message = Comment::new(text);
        let is_one_of =
            |words: &[Keyword]| words.iter().any(|word| message.has(word, Matching::Exact));
        if is_one_of(&self.stop) {
            Some(Command::Stop)
        } else if is_one_of(&self.start) {
            Some(Command::Start)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_whole_message() {
        let words = StopWords::default();
        for text in [
            "STOP",
            "stop",
            " Stop. ",
            "Stop!",
            "STOP 🛑",
            "s\u{200b}top",
            "unsubscribe",
            "Arret",
            "arrêt",
            "parar",
            "dur",
            "DURDUR",
            "Стоп!",
            "توقّف",
            "עצור",
            "ストップ",
            "停止。",
            "중지",
            "बंद करो",
            "stopp",
        ] {
            assert_eq!(words.command(text), Some(Command::Stop), "{text}");
        }
        for text in [
            "don't stop",
            "nonstop",
            "stop motion guide",
            "the bus stop link",
            "stop it please",
            "bitte nicht stoppen",
            "durmak",
            "",
            "🛑",
            "yes",
        ] {
            assert_eq!(words.command(text), None, "{text}");
        }
        for text in ["START", "Start!", "başla", "Начать", "開始", "ابدا"] {
            assert_eq!(words.command(text), Some(Command::Start), "{text}");
        }
        assert_eq!(words.command("start now"), None);
    }

    #[test]
    fn no_word_is_both_and_each_language_has_both() {
        let words = StopWords::default();
        let languages = |list: &[(&'static str, &[&str])]| {
            list.iter().map(|(language, _)| *language).collect::<Vec<_>>()
        };
        assert_eq!(languages(STOP), languages(START));
        assert!(STOP.len() >= 8);
        for (list, command) in [(STOP, Command::Stop), (START, Command::Start)] {
            for word in list.iter().flat_map(|(_, words)| words.iter()) {
                assert_eq!(words.command(word), Some(command), "{word}");
            }
        }
    }

    #[test]
    fn an_account_has_words_of_its_own_beside_them() {
        let words = StopWords::with(&["Schluss jetzt".into(), " ".into()], &["los".into()]);
        assert_eq!(words.command("schluss jetzt!"), Some(Command::Stop));
        assert_eq!(words.command("los"), Some(Command::Start));
        assert_eq!(words.command("stop"), Some(Command::Stop));
        assert_eq!(words.command("."), None);
    }
}

use proptest::prelude::*;

use super::*;

fn has(comment: &str, keyword: &str, matching: Matching) -> bool {
    Comment::new(comment).has(&Keyword::new(keyword), matching)
}

/// Checks rows of comment, keyword and whether the comment has it as a word.
fn check(rows: &[(&str, &str, bool)]) {
    let wrong = |(comment, keyword, want): &&(&str, &str, bool)| {
        has(comment, keyword, Matching::Word) != *want
    };
    let wrong: Vec<_> = rows.iter().filter(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn case_accents_and_width_do_not_matter() {
    check(&[
        ("LINK please!", "link", true),
        ("the #link, now", "link", true),
        ("Quiero la GUÍA", "guia", true),
        ("quiero la guía", "GUIA", true),
        ("straße", "STRASSE", true),
        ("GROẞE", "große", true),
        ("İSTANBUL", "istanbul", true),
        ("KAPI", "kapı", true),
        ("ΟΔΟΣ", "οδός", true),
        ("хочу ССЫЛКУ", "ссылку", true),
        ("ещё", "еще", true),
        ("мой", "мои", false),
        ("мо\u{438}\u{306}", "мой", true),
        ("ＬＩＮＫ", "link", true),
        ("𝓛𝓲𝓷𝓴 🅻🅸🅽🅺 ⓛⓘⓝⓚ", "link link link", true),
        ("o\u{302}\u{323}", "ộ", true),
        ("ŁÓDŹ", "lodz", true),
        ("Þorskur í ÆÐI", "thorskur i aedi", true),
        ("smørbrød", "smorbrod", true),
        ("Đà Nẵng", "da nang", true),
        ("bœuf", "boeuf", true),
        ("Brand™", "brand", true),
    ]);
}

#[test]
fn a_word_is_not_a_part_of_one() {
    check(&[
        ("linked", "link", false),
        ("blink", "link", false),
        ("links", "link", false),
        ("link2", "link", false),
        ("free the guide", "free guide", false),
        ("free guides", "free guide", false),
        ("send me the free guide", "free guide", true),
    ]);
    assert!(has("linked", "link", Matching::Contains));
}

#[test]
fn words_end_at_apostrophes_and_signs() {
    check(&[
        ("l'appli svp", "appli", true),
        ("j’adore l’appli", "appli", true),
        ("d`appli", "appli", true),
        ("dell´app", "app", true),
        ("the app's price", "app", true),
        ("App'i yolla", "app", true),
        ("rock ’n’ roll", "rock 'n' roll", true),
        ("don’t", "don't", true),
        ("dont", "don't", false),
        ("об’єкт", "об'єкт", true),
        ("link:please", "link", true),
        ("link.please", "link", true),
        ("link.please", "please", true),
        ("my_link_", "link", true),
        ("link/guide", "guide", true),
        ("link–please", "link", true),
        ("(link)…", "link", true),
        ("linkを", "link", true),
        ("link를 주세요", "link", true),
        ("الlink", "link", true),
    ]);
    assert!(has("Don’t!", "don't", Matching::Exact));
}

#[test]
fn keyboards_and_marks_of_arabic_and_hebrew_do_not_matter() {
    check(&[
        ("كيك", "کیک", true),
        ("هديه", "هدية", true),
        ("إلى آخر", "الى اخر", true),
        ("مُدَرِّب", "مدرب", true),
        ("دلـيـل", "دليل", true),
        ("ﺩﻟﻴﻞ", "دليل", true),
        ("می\u{200c}خواهم", "میخواهم", true),
        ("كود ١٢٣", "123", true),
        ("کد ۱۲۳", "123", true),
        ("ہدیہ", "هدیه", true),
        ("گل", "كل", false),
        ("דַּף", "דף", true),
        ("הַמַּדְרִיךְ", "מדריך", true),
        ("ולמדריך", "מדריך", true),
        ("הקוד", "קוד", true),
        ("מספר", "ספר", false),
        ("לאחר מכן", "כן", false),
        ("الهدية", "هدية", true),
        ("وللهدية", "هدية", true),
        ("وبالهدية", "الهدية", true),
        ("فهدية", "هدية", true),
        ("مهدية", "هدية", false),
        ("מדריכים", "מדריך", false),
        ("אבמדריך", "מדריך", false),
        ("דו״ח", "דו\"ח", true),
        ("דוח", "דו\"ח", true),
        ("קוד־הנחה", "קוד", true),
    ]);
}

#[test]
fn particles_kana_and_scripts_without_spaces() {
    check(&[
        ("자료를 보내 주세요", "자료", true),
        ("자료좀요", "자료", true),
        ("자료 주세요", "자료", true),
        ("자료ㅠㅠ", "자료", true),
        ("자료요ㅋㅋ", "자료", true),
        ("자료보내주십시오", "자료", true),
        ("자료를받고싶어요", "자료", true),
        ("책을 주세요", "책", true),
        ("책주세요", "책", true),
        ("회의", "회", false),
        ("차이가", "차", false),
        ("자료실", "자료", false),
        ("리자료", "자료", false),
        ("リンクください", "リンク", true),
        ("りんくください", "リンク", true),
        ("ﾘﾝｸ", "りんく", true),
        ("リンクス", "リンク", false),
        ("バス", "ハス", false),
        ("我要链接谢谢", "链接", true),
        ("ขอลิงก์หน่อย", "ลิงก์", true),
        ("น\u{e4d}\u{e32}", "นำ", true),
        ("เเจก", "แจก", true),
        ("กิน", "ก", false),
        ("लिंक दो", "लिंक", true),
        ("कोड ५०", "50", true),
        ("โค้ด ๕๐", "50", true),
    ]);
}

#[test]
fn a_row_of_particles_takes_no_time() {
    // «이» and «이요» begin alike: each of these could be read in two ways.
    let comment = format!("자료{}빵", "이요".repeat(500));
    assert!(!has(&comment, "자료", Matching::Word));
    assert!(has(&format!("자료{}", "이요".repeat(500)), "자료", Matching::Word));
}

#[test]
fn what_cannot_be_seen_does_not_matter() {
    for invisible in [
        '\u{ad}',
        '\u{34f}',
        '\u{61c}',
        '\u{180e}',
        '\u{200b}',
        '\u{200c}',
        '\u{200d}',
        '\u{200e}',
        '\u{200f}',
        '\u{202a}',
        '\u{202e}',
        '\u{2060}',
        '\u{2063}',
        '\u{2066}',
        '\u{2069}',
        '\u{fe0e}',
        '\u{fe0f}',
        '\u{feff}',
        '\u{e0001}',
        '\u{e0067}',
        '\u{e0100}',
        '\u{115f}',
    ] {
        for comment in [format!("{invisible}link{invisible}"), format!("li{invisible}nk please")] {
            assert!(has(&comment, "link", Matching::Word), "{}", comment.escape_unicode());
        }
        assert!(Keyword::new(&invisible.to_string()).is_empty(), "{}", invisible.escape_unicode());
    }
}

#[test]
fn any_white_space_is_one_space() {
    for space in [" ", "  ", "\t", "\r\n\r\n", "\u{a0}", "\u{2028}", "\u{3000}", "\u{3164}", "⠀"]
    {
        for matching in [Matching::Word, Matching::Contains, Matching::Exact] {
            let comment = format!("{space}free{space}guide{space}");
            assert!(has(&comment, "free guide", matching), "{}", comment.escape_unicode());
            assert!(has("free guide", &format!("free{space}guide"), matching));
        }
    }
    assert!(!has("freeguide", "free guide", Matching::Contains));
}

#[test]
fn an_emoji_is_a_whole() {
    let rows = [
        ("yes👍🏽", "👍", true),
        ("👍", "👍🏿", true),
        ("I ❤️ it", "❤", true),
        ("☎", "☎️", true),
        ("🔥🔥🔥", "🔥", true),
        ("🔥\u{200d}", "🔥", true),
        ("👨‍👩‍👧", "👧", false),
        ("👩🏾‍🚀", "👩‍🚀", true),
        ("👩‍🚀", "👩", false),
        ("❤️‍🔥", "❤️", false),
        ("🏳️‍🌈", "🏳️", false),
        ("🇫🇷🇩🇪", "🇷🇩", false),
        ("🇫🇷🇩🇪", "🇩🇪", true),
        ("🇫🇷", "🇫", false),
        ("🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🏴", false),
        ("🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🏴󠁧󠁢󠁷󠁬󠁳󠁿", false),
        ("press 2️⃣", "2", true),
        ("2", "2️⃣", true),
        ("22", "2️⃣", false),
        ("1️⃣0️⃣", "10", true),
        ("💯", "100", false),
        ("ℹ️", "i", false),
        ("Ⓜ️", "m", false),
        ("🅰️", "a", false),
    ];
    check(&rows);
    for (comment, keyword, want) in rows {
        if !want {
            assert!(!has(comment, keyword, Matching::Contains), "{keyword} in {comment}");
        }
    }
    assert!(has("🔥!", "🔥", Matching::Exact));
    assert!(!has("🔥🔥", "🔥", Matching::Exact));
    assert!(has("link 🔥", "link", Matching::Exact), "emoji are no words");
}

#[test]
fn a_keyword_has_its_signs() {
    check(&[
        ("I love C++!", "c++", true),
        ("vitamin C", "c++", false),
        ("learn c#", "C#", true),
        ("learn c", "C#", false),
        ("get 50% now", "50%", true),
        ("get 50 now", "50%", false),
        ("get 150%", "50%", false),
        ("50 ٪", "50%", true),
        ("q & a", "Q&A", true),
        ("$5", "$5", true),
        ("5", "$5", false),
        ("link🔥", "link 🔥", true),
        ("link", "link 🔥", false),
        ("guide", "#guide", true),
        ("guide", "guide!", true),
        ("really??", "?", true),
        ("ok :)", ":)", true),
    ]);
    assert!(!has("hello", "?", Matching::Word));
}

#[test]
fn a_number_is_a_whole() {
    for matching in [Matching::Word, Matching::Contains] {
        for (comment, keyword, want) in [
            ("08.", "08", true),
            ("#08", "08", true),
            ("08/10", "08", true),
            ("2008", "08", false),
            ("1,000", "1", false),
            ("1'000", "000", false),
            ("3.5", "5", false),
            ("3.5", "3.5", true),
            ("٣٫٥", "3.5", true),
            ("10²", "102", false),
            ("½", "1", false),
        ] {
            assert_eq!(has(comment, keyword, matching), want, "{keyword} in {comment}");
        }
    }
    assert!(has("50off", "50", Matching::Contains));
    assert!(!has("50off", "50", Matching::Word));
}

#[test]
fn an_address_is_a_whole() {
    for matching in [Matching::Word, Matching::Contains] {
        for (comment, keyword, want) in [
            ("https://example.com/link", "link", false),
            ("https://example.com/link link", "link", true),
            ("链接:https://example.com/link", "链接", true),
            ("www.link.com", "link", false),
            ("bit.ly/guide", "guide", false),
            ("link@example.com", "link", false),
            ("me@link.com", "link", false),
            ("@free.guide", "guide", false),
            ("＠free.guide", "guide", false),
            ("@link", "link", false),
            ("hey @link.", "link", false),
            ("@link, the link please", "link", true),
            ("@link", "@link", true),
            ("@links", "@link", false),
            ("@ana", "@", true),
            ("#link", "link", true),
            ("@ana #link", "link", true),
            ("see Example.com/Guide", "example.com/guide", true),
        ] {
            assert_eq!(has(comment, keyword, matching), want, "{keyword} in {comment}");
        }
    }
}

#[test]
fn exact_means_nothing_else() {
    assert!(has(" Link! ", "link", Matching::Exact));
    assert!(!has("the link", "link", Matching::Exact));
    assert!(!has("링크를", "링크", Matching::Exact));
}

#[test]
fn nothing_matches_nothing() {
    for nothing in ["", " ", "\u{200b}", "\u{3164}", "\u{640}", "\u{301}"] {
        assert!(Keyword::new(nothing).is_empty());
        assert!(!has("anything", nothing, Matching::Contains));
        assert!(!has("", nothing, Matching::Exact));
    }
    assert!(!has("", "link", Matching::Word));
}

#[test]
fn what_a_campaign_lets_pass() {
    let nearly = |comment: &str, keyword: &str, tolerance| {
        let keyword = Keyword::new(keyword);
        Comment::new(comment).has_nearly(&keyword, Matching::Word, &[tolerance])
    };
    assert!(nearly("the guides!", "guide", Tolerance::Plurals));
    assert!(nearly("GUIIIDE", "guide", Tolerance::RepeatedLetters));
    assert!(nearly("send giude", "guide", Tolerance::Typos));
    assert!(!nearly("send giude", "guide", Tolerance::Plurals));
    assert!(!nearly("O8", "08", Tolerance::Typos));
    assert!(!nearly("https://example.com/guides", "guide", Tolerance::Plurals));
    assert!(!nearly("@guide", "guide", Tolerance::Typos));
}

#[test]
fn every_digit_counts_as_its_own() {
    let row = "0123456789";
    for digits in [
        "०१२३४५६७८९",
        "๐๑๒๓๔๕๖๗๘๙",
        "০১২৩৪৫৬৭৮৯",
        "၀၁၂၃၄၅၆၇၈၉",
        "０１２３４５６７８９",
        "𝟘𝟙𝟚𝟛𝟜𝟝𝟞𝟟𝟠𝟡",
    ] {
        assert!(has(digits, row, Matching::Exact), "{digits}");
    }
}

proptest! {
    #[test]
    fn a_text_has_itself(text in "\\PC{1,40}") {
        let keyword = Keyword::new(&text);
        prop_assume!(!keyword.is_empty());
        for matching in [Matching::Word, Matching::Contains, Matching::Exact] {
            prop_assert!(Comment::new(&text).has(&keyword, matching));
        }
    }

    #[test]
    fn what_stands_apart_does_not_hide_a_word(before in "\\PC{0,20}", after in "\\PC{0,20}") {
        let comment = format!("{before} guide {after}");
        prop_assert!(has(&comment, "guide", Matching::Word), "{comment}");
    }

    #[test]
    fn a_word_is_in_contains_too(comment in "\\PC{1,30}", keyword in "\\PC{1,3}") {
        if has(&comment, &keyword, Matching::Word) {
            prop_assert!(has(&comment, &keyword, Matching::Contains));
        }
    }
}

#[test]
fn a_short_keyword_is_near_to_no_word_by_chance() {
    let distance = |comment: &str, word: &str| Comment::new(comment).distance(&Keyword::new(word));
    for (comment, word) in [
        ("banana bread", "a"),
        ("I love it", "1"),
        ("b", "a"),
        ("this is history", "hi"),
        ("ok", "yo"),
        ("is it 5", "15"),
        ("09", "08"),
        ("❤", "🔥"),
        ("日本", "本"),
    ] {
        assert_eq!(distance(comment, word), None, "{comment} {word}");
    }
    assert_eq!(distance("O8 please", "08"), Some(1));
    assert_eq!(distance("資料請求", "資料"), Some(0));
    assert_eq!(distance("linkss", "link"), Some(0));
    assert_eq!(distance("lnk", "link"), Some(1));
    assert_eq!(distance("ebok", "ebook"), Some(1));
}

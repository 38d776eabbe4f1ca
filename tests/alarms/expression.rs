//! Metric math, as far as the template's alarms use it.

use std::collections::BTreeMap;

/// The value of each metric in one period; `None` where it has none.
pub(super) type Values = BTreeMap<String, Option<f64>>;

/// The value of an expression in one period; `None` where CloudWatch gives none.
pub(super) fn evaluate(expression: &str, values: &Values) -> Option<f64> {
    let spaced = ["(", ")", ",", "/", ">"]
        .iter()
        .fold(expression.to_owned(), |text, sign| text.replace(sign, &format!(" {sign} ")));
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { tokens: &tokens, values };
    let value = parser.all();
    assert!(parser.tokens.is_empty(), "not read: {:?} of {expression}", parser.tokens);
    value.one()
}

/// One value, or one for each metric.
enum Value {
    One(Option<f64>),
    Many(Vec<Option<f64>>),
}

impl Value {
    fn one(self) -> Option<f64> {
        match self {
            Self::One(value) => value,
            Self::Many(values) => panic!("{values:?} where one value is needed"),
        }
    }
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    values: &'a Values,
}

impl Parser<'_> {
    fn take(&mut self, token: &str) -> bool {
        let found = self.tokens.first() == Some(&token);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn need(&mut self, token: &str) {
        assert!(self.take(token), "{token} expected before {:?}", self.tokens);
    }

    /// Comparisons that must all hold.
    fn all(&mut self) -> Value {
        let mut left = self.comparison();
        while self.take("AND") {
            let right = self.comparison().one();
            let both = left.one().zip(right).map(|(a, b)| truth(a != 0.0 && b != 0.0));
            left = Value::One(both);
        }
        left
    }

    fn comparison(&mut self) -> Value {
        let left = self.quotient();
        if !self.take(">") {
            return left;
        }
        let right = self.quotient().one();
        Value::One(left.one().zip(right).map(|(a, b)| truth(a > b)))
    }

    fn quotient(&mut self) -> Value {
        let mut left = self.atom();
        while self.take("/") {
            let right = self.atom().one();
            left = Value::One(left.one().zip(right).map(|(a, b)| a / b));
        }
        left
    }

    fn atom(&mut self) -> Value {
        let (name, rest) = self.tokens.split_first().expect("something follows");
        self.tokens = rest;
        if let Ok(number) = name.parse() {
            return Value::One(Some(number));
        }
        if !self.take("(") {
            let known = self.values.get(*name);
            return Value::One(*known.unwrap_or_else(|| panic!("there is no metric {name}")));
        }
        let mut arguments = Vec::new();
        while !self.take(")") {
            arguments.push(self.all());
            if self.tokens.first() != Some(&")") {
                self.need(",");
            }
        }
        call(name, arguments, self.values)
    }
}

fn call(name: &str, arguments: Vec<Value>, values: &Values) -> Value {
    let mut arguments = arguments.into_iter();
    let mut next = || arguments.next().unwrap_or_else(|| panic!("{name} needs one more argument"));
    match name {
        "METRICS" => Value::Many(values.values().copied().collect()),
        "FILL" => {
            let (filled, with) = (next(), next().one());
            match filled {
                Value::One(value) => Value::One(value.or(with)),
                Value::Many(many) => {
                    Value::Many(many.into_iter().map(|value| value.or(with)).collect())
                }
            }
        }
        "SUM" => match next() {
            Value::Many(many) => Value::One(many.into_iter().sum()),
            Value::One(_) => panic!("SUM of one series is over time, which no alarm needs"),
        },
        "IF" => {
            let (condition, then, otherwise) = (next().one(), next().one(), next().one());
            Value::One(condition.and_then(|holds| if holds == 0.0 { otherwise } else { then }))
        }
        _ => panic!("say here what {name} does"),
    }
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

#[test]
fn expressions_have_the_values_that_cloudwatch_gives_them() {
    let values =
        |failed, calls| Values::from([("failed".to_owned(), failed), ("calls".to_owned(), calls)]);
    let most = "IF(failed > 2 AND failed > calls / 2, failed, 0)";
    assert_eq!(evaluate(most, &values(Some(3.0), Some(5.0))), Some(3.0));
    assert_eq!(evaluate(most, &values(Some(3.0), Some(6.0))), Some(0.0));
    assert_eq!(evaluate(most, &values(Some(2.0), Some(2.0))), Some(0.0));
    assert_eq!(evaluate(most, &values(None, Some(6.0))), None);
    let filled = "IF(failed > 2 AND failed > FILL(calls, 0), failed, 0)";
    assert_eq!(evaluate(filled, &values(Some(3.0), None)), Some(3.0));
    assert_eq!(evaluate("SUM(FILL(METRICS(), 0))", &values(Some(3.0), None)), Some(3.0));
}

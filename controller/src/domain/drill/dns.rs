//! The few DNS messages a drill's honest resolver and its client exchange (RFC 1035 §4.1).
use std::net::Ipv4Addr;

const HEADER: usize = 12;
const ANSWER: u8 = 0x80;

/// A question for the IPv4 address of `www.example`.
pub fn query(id: u16) -> Vec<u8> {
    let mut message = Vec::with_capacity(32);
    message.extend(id.to_be_bytes());
    // Recursion is wanted; one question.
    message.extend([0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend(b"\x03www\x07example\x00\x00\x01\x00\x01");
    message
}

/// The answer to a question, with one address; `None` where it is none.
pub fn answer(question: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    if question.len() <= HEADER || is_answer(question) {
        return None;
    }
    let mut message = question.to_vec();
    *message.get_mut(2)? |= ANSWER;
    *message.get_mut(3)? |= ANSWER;
    *message.get_mut(7)? = 1;
    // The name by its place in the question, type A, class IN, a minute, four bytes.
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    message.extend(address.octets());
    Some(message)
}

/// The number of the question a message answers; `None` where it is no answer.
pub fn answered(message: &[u8]) -> Option<u16> {
    let id = message.get(..2)?.try_into().ok().map(u16::from_be_bytes);
    id.filter(|_| message.len() > HEADER && is_answer(message))
}

fn is_answer(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & ANSWER != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_its_questions_number_and_an_address() {
        let question = query(0xabcd);
        assert_eq!(answered(&question), None);
        let message = answer(&question, Ipv4Addr::new(192, 0, 2, 80)).unwrap();
        assert_eq!(answered(&message), Some(0xabcd));
        assert!(message.ends_with(&[192, 0, 2, 80]));
        assert_eq!(message.len(), question.len() + 16);
    }

    #[test]
    fn what_is_no_question_has_no_answer() {
        let message = answer(&query(1), Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!(answer(&message, Ipv4Addr::LOCALHOST), None);
        for len in 0..=HEADER {
            assert_eq!(answer(&message[..len], Ipv4Addr::LOCALHOST), None);
            assert_eq!(answered(&message[..len]), None);
        }
    }
}

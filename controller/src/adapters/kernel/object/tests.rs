use aya_obj::generated::bpf_insn;

use super::*;

/// An instruction, as far as the flow goes.
#[derive(Clone, Copy)]
struct Step {
    code: u8,
    off: i16,
}

/// Where the flow falls back by itself, without a jump, to what it came from.
///
/// Before Linux 6.7 the kernel walks the flow first, depth first, the next instruction before the one jumped to, and takes
/// such an edge for a loop without an end (`check_cfg`); of jumps it lets the verifier find out. Which blocks a loop's end
/// stands before is the compiler's choice, so it is looked at each time.
fn fallen_back(steps: &[Step]) -> Vec<usize> {
    const NEW: u8 = 0;
    const ON_THE_WAY: u8 = 1;
    const DONE: u8 = 2;
    let mut state = vec![NEW; steps.len()];
    let mut found = Vec::new();
    // Where the walk is, and how many ways from there were taken.
    let mut way = vec![(0, 0)];
    state[0] = ON_THE_WAY;
    while let Some((at, taken)) = way.last_mut() {
        let at = *at;
        let Step { code, off } = steps[at];
        let jumped = at.checked_add_signed(off.into()).map(|place| place + 1);
        let is_jump = matches!(code & 7, 5 | 6);
        let next = match (code & 0xf0, is_jump) {
            (0x90, true) => [None, None],
            (0x00, true) => [jumped, None],
            // A call comes back.
            (0x80, true) | (_, false) => [Some(at + 1), None],
            (_, true) => [Some(at + 1), jumped],
        };
        let Some(to) = next.get(*taken).copied().flatten() else {
            state[at] = DONE;
            way.pop();
            continue;
        };
        *taken += 1;
        match state[to] {
            NEW => {
                state[to] = ON_THE_WAY;
                way.push((to, 0));
            }
            ON_THE_WAY if !is_jump || code & 0xf0 == 0x80 => found.push(at),
            _ => {}
        }
    }
    found
}

fn steps(instructions: &[bpf_insn]) -> Vec<Step> {
    instructions.iter().map(|instruction| Step { code: instruction.code, off: instruction.off }).collect()
}

#[test]
fn no_end_of_a_loop_falls_through_to_its_beginning() {
    let object = aya_obj::Object::parse(&OBJECT.0).unwrap();
    let mut programs = 0;
    for function in object.functions.values() {
        assert_eq!(fallen_back(&steps(&function.instructions)), [0; 0], "in {}", function.name);
        programs += usize::from(function.name == "weir");
    }
    assert_eq!(programs, 1);
}

#[test]
fn an_end_of_a_loop_that_falls_through_is_found_and_one_that_jumps_is_none() {
    const MOVE: u8 = 0xb7;
    const IF: u8 = 0x55;
    const GOTO: u8 = 0x05;
    const EXIT: u8 = 0x95;
    let program =
        |steps: &[(u8, i16)]| steps.iter().map(|(code, off)| Step { code: *code, off: *off }).collect::<Vec<_>>();
    // Entered at 2, whose end jumps to 1, which falls back to 2.
    let falls = program(&[(GOTO, 1), (MOVE, 0), (MOVE, 0), (IF, -3), (EXIT, 0)]);
    assert_eq!(fallen_back(&falls), [1]);
    let jumps = program(&[(MOVE, 0), (MOVE, 0), (IF, -2), (EXIT, 0)]);
    assert_eq!(fallen_back(&jumps), [0; 0]);
}

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

#[test]
fn where_there_is_no_room_the_least_goes_and_the_newcomer_stays() {
    let half_life = HalfLife::new(60);
    let mut neighbours = Neighbours::new(0.5, 100.0, 2);
    let points = |neighbours: &Neighbours<u32>, key| neighbours.prior(&key, None, at(0), half_life);
    for (key, given) in [(1, 10.0), (2, 8.0), (3, 2.0)] {
        neighbours.give(&key, Fading { points: given, at: at(0) }, half_life);
    }
    assert_eq!(neighbours.len(), 2);
    assert_eq!([1, 2, 3].map(|key| points(&neighbours, key).to_string()), ["5", "0", "1"].map(str::to_owned));
    neighbours.set_room(1);
    assert_eq!([1, 3].map(|key| points(&neighbours, key) > 0.0), [true, false]);
}

#[test]
fn what_is_taken_back_is_not_below_nothing() {
    let half_life = HalfLife::new(60);
    let mut neighbours = Neighbours::new(0.5, 100.0, 9);
    neighbours.give(&1, Fading { points: -10.0, at: at(0) }, half_life);
    neighbours.give(&2, Fading { points: 10.0, at: at(0) }, half_life);
    neighbours.give(&2, Fading { points: -12.0, at: at(0) }, half_life);
    assert_eq!((neighbours.len(), neighbours.by_rank.len()), (0, 0));
}

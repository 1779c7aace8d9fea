//! Whole numbers as text, where they stand in every answer: formatting takes five times as long.

/// Appends a number in decimal digits.
pub fn push_decimal(out: &mut Vec<u8>, number: u64) {
    const LONGEST: usize = "18446744073709551615".len();
    let mut digits = [0; LONGEST];
    let mut rest = number;
    let mut at = LONGEST;
    loop {
        at -= 1;
        digits[at] = b"0123456789"[(rest % 10) as usize];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_writes_what_formatting_writes() {
        for number in [0, 7, 10, 99, 1_000_000, u64::MAX] {
            let mut out = b"n=".to_vec();
            push_decimal(&mut out, number);

            assert_eq!(out, format!("n={number}").into_bytes());
        }
    }
}

use super::*;

fn key(seed: u8) -> BlsSecretKey {
    BlsSecretKey::from_entropy(&[seed; 32]).unwrap()
}

/// Key derivation and signing are those of the draft: the public key of secret 1 is the generator, and a
/// secret survives the keystore's big-endian form.
#[test]
fn keys_have_their_standard_encodings() {
    let mut one = [0; 32];
    one[31] = 1;
    let key = BlsSecretKey::from_bytes(&one).unwrap();
    assert_eq!(
        key.public_key().to_string(),
        "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac58\
         6c55e83ff97a1aeffb3af00adb22c6bb"
    );
    assert_eq!(*key.to_bytes(), one);
    let derived = self::key(7);
    let again = BlsSecretKey::from_bytes(&derived.to_bytes()).unwrap();
    assert_eq!(again.public_key(), derived.public_key());
}

#[test]
fn bad_secrets_are_refused() {
    assert_eq!(
        BlsSecretKey::from_bytes(&[0; 32]).unwrap_err(),
        KeyError::Secret
    );
    assert_eq!(
        BlsSecretKey::from_bytes(&[0xff; 32]).unwrap_err(),
        KeyError::Secret
    );
    assert_eq!(
        BlsSecretKey::from_entropy(&[1; 31]).unwrap_err(),
        KeyError::Material(31)
    );
}

#[test]
fn identity_points_are_refused() {
    let mut infinity = [0; PUBLIC_KEY_BYTES];
    infinity[0] = 0xc0;
    assert_eq!(
        BlsPublicKey::from_bytes(&infinity).unwrap_err(),
        KeyError::Identity("public key")
    );
    let mut infinity = [0; SIGNATURE_BYTES];
    infinity[0] = 0xc0;
    assert_eq!(
        BlsSignature::from_bytes(&infinity).unwrap_err(),
        KeyError::Identity("signature")
    );
}

/// Points of the curve outside the subgroup: most x coordinates with a solution are such points.
#[test]
fn points_outside_the_subgroup_are_refused() {
    let mut on_curve = 0;
    for x in 1..=32_u8 {
        let mut bytes = [0; PUBLIC_KEY_BYTES];
        bytes[0] = 0x80;
        bytes[PUBLIC_KEY_BYTES - 1] = x;
        let unchecked: Option<G1Affine> = G1Affine::from_compressed_unchecked(&bytes).into();
        if unchecked.is_some_and(|point| bool::from(point.is_on_curve())) {
            on_curve += 1;
            assert_eq!(
                BlsPublicKey::from_bytes(&bytes).unwrap_err(),
                KeyError::Point("public key")
            );
        }
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes[0] = 0x80;
        bytes[SIGNATURE_BYTES - 1] = x;
        let unchecked: Option<G2Affine> = G2Affine::from_compressed_unchecked(&bytes).into();
        if unchecked.is_some_and(|point| bool::from(point.is_on_curve())) {
            on_curve += 1;
            assert_eq!(
                BlsSignature::from_bytes(&bytes).unwrap_err(),
                KeyError::Point("signature")
            );
        }
    }
    assert!(on_curve > 8, "the test needs points on the curve");
}

/// Flags that don't belong to a compressed finite point, and coordinates above the field's modulus.
#[test]
fn other_forms_of_a_point_are_refused() {
    let good = key(1).public_key().to_bytes();
    for flags in [0x00_u8, 0x40, 0xc0] {
        let mut bytes = good;
        bytes[0] = bytes[0] & 0x1f | flags;
        assert!(BlsPublicKey::from_bytes(&bytes).is_err(), "{flags:#x}");
    }
    let mut above = [0xff; PUBLIC_KEY_BYTES];
    above[0] = 0x9f;
    assert!(BlsPublicKey::from_bytes(&above).is_err());
}

#[test]
fn a_possession_holds_for_one_key_and_identity() {
    let (mine, other) = (key(1), key(2));
    let identity = IdentityPublicKey([3; 32]);
    let proof = mine.prove_possession(&identity);
    assert_eq!(proof.check(&identity, mine.public_key()), Ok(()));
    assert_eq!(
        proof.check(&IdentityPublicKey([4; 32]), mine.public_key()),
        Err(KeyError::Possession)
    );
    assert_eq!(
        proof.check(&identity, other.public_key()),
        Err(KeyError::Possession)
    );
    assert_eq!(
        Possession::message(&identity, mine.public_key()).len(),
        POSSESSION_MESSAGE_BYTES
    );
}

/// The attack that possession prevents: a key chosen to cancel another one.
#[test]
fn a_rogue_key_verifies_alone_what_two_seem_to_have_signed() {
    let (victim, attacker) = (key(1), key(2));
    let rogue = G1Projective::from(attacker.public.point) - victim.public.point;
    let rogue = G1Affine::from(rogue);
    let rogue = BlsPublicKey::from_bytes(&rogue.to_compressed()).unwrap();
    let message = b"a message of 32 bytes and more..";
    let mut sum = Sum::of(&attacker.sign(message).decode().unwrap());
    sum.add_key(victim.public_key());
    sum.add_key(&rogue);
    assert!(sum.verify(message), "without possession the forgery holds");
    let identity = IdentityPublicKey([3; 32]);
    let claim = attacker.prove_possession(&identity);
    assert_eq!(claim.check(&identity, &rogue), Err(KeyError::Possession));
}

#[test]
fn sums_that_cancel_verify_nothing() {
    let mine = key(1);
    let signature = mine.sign(b"message").decode().unwrap();
    let mut sum = Sum::of(&signature);
    sum.keys = G1Projective::identity();
    assert!(!sum.verify(b"message"));
    let mut sum = Sum::default();
    sum.add_key(mine.public_key());
    assert!(!sum.verify(b"message"));
}

/// The secret and the public key of the test vectors of EIP-2335.
#[test]
fn keystores_of_the_eip_hold_this_kind_of_key() {
    let secret = from_hex(
        "secret",
        "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    );
    let key = BlsSecretKey::from_bytes(&secret.unwrap()).unwrap();
    assert_eq!(
        key.public_key().to_string(),
        "9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27\
         f4ae4040902382ae2910c15e2b420d07"
    );
}

#[test]
fn keys_and_proofs_are_read_as_they_are_printed() {
    let key = key(1);
    let proof = key.prove_possession(&IdentityPublicKey([3; 32]));
    let text = key.public_key().to_string();
    assert_eq!(text.parse(), Ok(*key.public_key()));
    assert_eq!(format!("0x{text}").parse(), Ok(*key.public_key()));
    assert_eq!(proof.to_string().parse(), Ok(proof));
    assert_eq!(
        text[2..].parse::<BlsPublicKey>(),
        Err(KeyError::Text {
            field: "public key",
            digits: 96
        })
    );
}

//! Signatures of tokens by `ring`, which TLS uses too: `jsonwebtoken` brings no cryptography of its own.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{Error as Wrong, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use ring::signature::{self, EcdsaVerificationAlgorithm, RsaParameters, RsaPublicKeyComponents};

/// Signs nothing.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| Ok(Box::new(ByRing::new(*algorithm, key)?)),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has tokens verified by `ring` in this process.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error says that one is there already.
        let _ = RING.install_default();
    });
}

struct ByRing {
    algorithm: Algorithm,
    how: How,
    key: DecodingKey,
}

enum How {
    Rsa(&'static RsaParameters),
    Ecdsa(&'static EcdsaVerificationAlgorithm),
}

impl ByRing {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self, Error> {
        let how = match algorithm {
            Algorithm::RS256 => How::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => How::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => How::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => How::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => How::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => How::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => How::Ecdsa(&signature::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => How::Ecdsa(&signature::ECDSA_P384_SHA384_FIXED),
            _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
        };
        let family = match how {
            How::Rsa(_) => AlgorithmFamily::Rsa,
            How::Ecdsa(_) => AlgorithmFamily::Ec,
        };
        if key.family() != family {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        Ok(Self { algorithm, how, key: key.clone() })
    }
}

impl Verifier<Vec<u8>> for ByRing {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), Wrong> {
        let verified = match (&self.how, self.key.kind()) {
            (How::Rsa(how), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(how, message, signed)
            }
            (How::Ecdsa(how), DecodingKeyKind::SecretOrDer(point)) => {
                signature::UnparsedPublicKey::new(*how, point).verify(message, signed)
            }
            _ => return Err(Wrong::new()),
        };
        verified.map_err(|_| Wrong::new())
    }
}

impl JwtVerifier for ByRing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

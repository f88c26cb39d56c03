#include <openssl/pem.h>

#include <array>
#include <catch2/catch.hpp>
#include <map>

#include "../../token_maker.h"
#include "common/base64.h"
#include "common/json.h"
#include "jwt/verifier.h"

using namespace sluice;
using namespace sluice::jwt;
using namespace std::chrono_literals;
using jwt_test::base64url;
using jwt_test::Signer;

namespace {

constexpr Micros kNow = 1'700'000'000s;
constexpr std::string_view kClaims = R"({"sub":"alice","exp":1700000600})";

const Signer& rsa() {
  static const Signer signer = Signer::rsa("RS256");
  return signer;
}
const Signer& p256() {
  static const Signer signer = Signer::ec("ES256", "P-256");
  return signer;
}

Keys keys_of(std::string_view json, const KeyRules& rules = {}) {
  auto parsed = parse_keys(json, rules);
  REQUIRE(parsed);
  return parsed->keys;
}
std::string set_of(std::initializer_list<std::string> keys) {
  std::string text;
  for (const std::string& key : keys) text += (text.empty() ? "" : ",") + key;
  return "{\"keys\":[" + text + "]}";
}

std::string pem_of(const Signer& signer) {
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_PUBKEY(out, signer.key());
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(out);
  return text;
}

// What a verifier with these rules and keys says of a token.
struct Judge {
  explicit Judge(Keys known, TokenRules given = {}) : keys(std::move(known)), rules(std::move(given)) {}

  std::string operator()(std::string_view text, Micros now = kNow) {
    Verifier verifier(rules);
    const Keys* sets[] = {&keys};
    const Refusal refusal = verifier.verify(text, sets, now, token);
    return refusal == Refusal::none ? "good" : std::string(row(refusal).name);
  }
  [[nodiscard]] std::string shared(std::string_view name) const {
    std::string found = "(none)";
    token.for_each_shared([&](std::string_view key, std::string_view value) {
      if (key == name) found = value;
    });
    return found;
  }
  [[nodiscard]] std::map<std::string, std::string> headers() const {
    std::map<std::string, std::string> all;
    token.for_each_header([&](std::string_view key, std::string_view value) { all.emplace(key, value); });
    return all;
  }

  Keys keys;
  TokenRules rules;
  VerifiedToken token;
};

}  // namespace

TEST_CASE("the examples of RFC 7515 and RFC 8037 hold", "[jwt]") {
  constexpr std::string_view kPayload =
      ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";
  struct Example {
    const char* source;
    const char* jwk;
    const char* header;
    const char* signature;
  };
  const Example examples[] = {
      {"RFC 7515 A.1",
       R"({"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"})",
       "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
      {"RFC 7515 A.2",
       R"({"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"})",
       "eyJhbGciOiJSUzI1NiJ9",
       "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr"
       "7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--x"
       "i12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_Ioy"
       "pGlUPQGe77Rw"},
      {"RFC 7515 A.3",
       R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})",
       "eyJhbGciOiJFUzI1NiJ9",
       "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
  };
  for (const Example& example : examples) {
    CAPTURE(example.source);
    Judge judge(keys_of(example.jwk));
    const std::string text = example.header + std::string(kPayload) + example.signature;
    CHECK(judge(text, 1'300'819'300s) == "good");
    CHECK(judge.shared("jwt.iss") == "joe");
    CHECK(judge.shared("jwt.http://example.com/is_root") == "true");
    CHECK(judge(text, 1'300'819'440s) == "expired");  // 60 s later than it says
    CHECK(judge(text, 1'300'819'439s) == "good");
  }
  // These have payloads that are no claims: the signature alone.
  const auto holds = [](const char* jwk, Scheme scheme, std::string_view text, std::string_view encoded) {
    std::array<char, 256> signature;
    const auto decoded = decode_base64url(encoded, signature);
    REQUIRE(decoded);
    return keys_of(jwk).at(0)->key.holds(scheme, Hash::sha512, *decoded, text);
  };
  CHECK(holds(
      R"({"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"})",
      Scheme::ecdsa, "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA",
      "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZC"
      "PEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"));  // RFC 7515 A.4
  CHECK(
      holds(R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})", Scheme::ed25519,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"));  // RFC 8037 A.4
}

TEST_CASE("every algorithm verifies what it signed, and nothing else", "[jwt]") {
  std::vector<Signer> signers;
  for (const char* name : {"HS256", "HS384", "HS512"}) signers.push_back(Signer::secret(std::string(64, 's'), name));
  for (const char* name : {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}) signers.push_back(rsa().as(name));
  signers.push_back(p256());
  signers.push_back(Signer::ec("ES384", "P-384"));
  signers.push_back(Signer::ec("ES512", "P-521"));
  signers.push_back(Signer::ed25519());
  for (const Signer& signer : signers) {
    CAPTURE(signer.algorithm());
    const std::string pinned = signer.jwk(R"(,"alg":")" + signer.algorithm() + "\"");
    Judge judge(keys_of(pinned));
    const std::string token = signer.token(kClaims);
    CHECK(judge(token) == "good");
    CHECK(judge.shared("jwt.sub") == "alice");
    for (const Signer& other : signers) {
      if (other.algorithm() == signer.algorithm()) continue;
      CAPTURE(other.algorithm());
      CHECK(judge(other.token(kClaims)) != "good");
      // Its own key, but the header lies about the algorithm.
      CHECK(judge(signer.sign(R"({"alg":")" + other.algorithm() + "\"}", kClaims)) != "good");
    }
    // Every byte of the signature counts, and so does every byte of the text.
    const size_t dot = token.rfind('.');
    for (const size_t at : {dot + 1, dot + 20, token.size() - 2, dot - 2, token.find('.') + 4}) {
      std::string changed = token;
      changed[at] = changed[at] == 'A' ? 'B' : 'A';
      CHECK(judge(changed) == "signature");
    }
  }
}

TEST_CASE("which algorithms a key is for is settled by the key and the configuration", "[jwt]") {
  const auto algorithms = [](std::initializer_list<const char*> names) {
    KeyRules rules;
    rules.algorithms.emplace();
    for (const char* name : names) rules.algorithms->add(*algorithm_named(name));
    return rules;
  };
  const Signer secret = Signer::secret(std::string(32, 'k'));
  // A key that does not say: RS256 and HS256.
  CHECK(Judge(keys_of(rsa().jwk()))(rsa().token(kClaims)) == "good");
  CHECK(Judge(keys_of(rsa().jwk()))(rsa().as("RS512").token(kClaims)) == "key_unknown");
  CHECK(Judge(keys_of(rsa().jwk()))(rsa().as("PS256").token(kClaims)) == "key_unknown");
  CHECK(Judge(keys_of(secret.jwk()))(secret.as("HS512").token(kClaims)) == "key_unknown");
  // The configuration says.
  const KeyRules three = algorithms({"PS256", "RS512", "HS512"});
  CHECK(Judge(keys_of(rsa().jwk(), three))(rsa().as("PS256").token(kClaims)) == "good");
  CHECK(Judge(keys_of(rsa().jwk(), three))(rsa().as("RS512").token(kClaims)) == "good");
  CHECK(Judge(keys_of(rsa().jwk(), three))(rsa().token(kClaims)) == "key_unknown");
  CHECK(Judge(keys_of(secret.jwk(), three))(secret.as("HS512").token(kClaims)) == "good");
  // Both say, and differ: such a key is for nothing.
  CHECK(keys_of(set_of({rsa().jwk(R"(,"alg":"RS256")"), p256().jwk()}), three).empty());
  CHECK(keys_of(set_of({p256().jwk(R"(,"alg":"ES384")")})).empty());
  CHECK(keys_of(set_of({rsa().jwk(R"(,"alg":"HS256")")})).empty());
  CHECK(keys_of(set_of({secret.jwk(R"(,"alg":"RS256")")})).empty());
}

TEST_CASE("a public key is never a secret, and a secret never a public key", "[jwt]") {
  const std::string pem = pem_of(rsa());
  const auto key = VerifyKey::of_pem(pem);
  REQUIRE(key);
  Keys keys{std::make_shared<const Key>(Key{*VerifyKey::of_pem(pem), "", AlgorithmSet::of_kind(KeyKind::rsa), ""})};
  Judge judge(keys);
  CHECK(judge(rsa().token(kClaims)) == "good");
  CHECK(judge(Signer::secret(pem).token(kClaims)) == "key_unknown");
  CHECK(judge(Signer::secret(pem.substr(0, pem.size() - 1)).token(kClaims)) == "key_unknown");
  // Whatever a caller asks for.
  const std::string mac = Signer::secret(pem).signature("text");
  CHECK_FALSE(key->holds(Scheme::hmac, Hash::sha256, mac, "text"));
  CHECK_FALSE(key->holds(Scheme::ecdsa, Hash::sha256, p256().signature("text"), "text"));
  CHECK_FALSE(VerifyKey::of_secret(pem).holds(Scheme::rsa_pkcs1, Hash::sha256, rsa().signature("text"), "text"));
  CHECK(VerifyKey::of_secret(pem).holds(Scheme::hmac, Hash::sha256, mac, "text"));
}

TEST_CASE("malformed tokens are refused", "[jwt]") {
  const std::string good = rsa().token(kClaims);
  const size_t first = good.find('.');
  const size_t second = good.rfind('.');
  const std::string header = good.substr(0, first);
  const std::string claims = good.substr(first + 1, second - first - 1);
  const std::string signature = good.substr(second + 1);
  Judge judge(keys_of(rsa().jwk(R"(,"kid":"k1")")));
  REQUIRE(judge(good) == "good");

  const std::vector<std::pair<const char*, std::string>> malformed = {
      {"nothing", ""},
      {"no dot", header},
      {"two parts", header + "." + claims},
      {"no signature", header + "." + claims + "."},
      {"no claims", header + ".." + signature},
      {"no header", "." + claims + "." + signature},
      {"dots", ".."},
      {"four parts", good + ".AA"},
      {"four parts, the last empty", good + "."},
      {"five parts, as JWE has", header + "." + claims + "." + signature + "." + claims + "." + signature},
      {"padding", good + "="},
      {"padded header", header + "=." + claims + "." + signature},
      {"standard base64", header + "." + claims + ".+/+/"},
      {"white space", good + " "},
      {"a line end", good + "\n"},
      {"NUL", good + std::string(1, '\0')},
      {"one character left over", header + "." + claims + "." + signature + "AAA"},
      {"header is no JSON", base64url("alg") + "." + claims + "." + signature},
      {"header is a list", base64url("[]") + "." + claims + "." + signature},
      {"header ends early", base64url(R"({"alg":"RS256")") + "." + claims + "." + signature},
      {"header with NUL", base64url(std::string(R"({"alg":"RS256"})") + '\0') + "." + claims + "." + signature},
      {"header is no UTF-8", base64url("{\"alg\":\"RS256\",\"x\":\"\xff\"}") + "." + claims + "." + signature},
      {"alg twice", rsa().sign(R"({"alg":"RS256","alg":"RS256"})", kClaims)},
      {"alg twice, once escaped", rsa().sign("{\"alg\":\"RS256\",\"\\u0061lg\":\"none\"}", kClaims)},
      {"crit", rsa().token(kClaims, R"(,"crit":["exp"],"exp":1)")},
      {"empty crit", rsa().token(kClaims, R"(,"crit":[])")},
      {"b64", rsa().token(kClaims, R"(,"b64":false,"crit":["b64"])")},
      {"kid is a number", rsa().token(kClaims, R"(,"kid":1)")},
      {"kid is null", rsa().token(kClaims, R"(,"kid":null)")},
      {"claims are no JSON", rsa().token("sub=alice")},
      {"claims are a list", rsa().token("[{}]")},
      {"claims are a token", rsa().token(good, R"(,"cty":"JWT")")},
      {"claims are empty", rsa().token(" ")},
      {"claims end early", rsa().token(kClaims.substr(0, kClaims.size() - 1))},
      {"claims go on", rsa().token(std::string(kClaims) + "{}")},
      {"claims with NUL", rsa().token(std::string(kClaims) + '\0')},
      {"NUL in a claim", rsa().token(std::string("{\"exp\":1700000600,\"sub\":\"a") + '\0' + "\"}")},
      {"claims with a BOM", rsa().token("\xef\xbb\xbf" + std::string(kClaims))},
      {"claims are no UTF-8", rsa().token("{\"exp\":1700000600,\"sub\":\"\xc3\"}")},
      {"exp twice", rsa().token(R"({"exp":1,"exp":1700000600})")},
      {"sub twice, once escaped", rsa().token("{\"exp\":1700000600,\"sub\":\"a\",\"su\\u0062\":\"root\"}")},
      {"twice, further down", rsa().token(R"({"exp":1700000600,"a":[{"b":{"c":1,"d":2,"c":3}}]})")},
      {"nested deeply", rsa().token(R"({"exp":1700000600,"a":)" + std::string(100, '[') + std::string(100, ']') + "}")},
      {"nested too deeply",
       rsa().token(R"({"exp":1700000600,"a":)" + std::string(2000, '[') + std::string(2000, ']') + "}")},
      {"a header nested deeply", rsa().token(kClaims, R"(,"a":)" + std::string(1000, '[') + std::string(1000, ']'))},
  };
  for (const auto& [what, token] : malformed) {
    CAPTURE(what);
    CHECK(judge(token) == "malformed");
  }
  // Bits that no byte is made of: the same bytes, written in another way.
  std::string odd = Signer::secret(std::string(32, 'k')).token(kClaims);
  Judge secret_judge(keys_of(Signer::secret(std::string(32, 'k')).jwk()));
  CHECK(secret_judge(odd) == "good");
  ++odd.back();
  CHECK(secret_judge(odd) == "malformed");
}

TEST_CASE("algorithms that a token wishes for are not granted", "[jwt]") {
  Judge judge(keys_of(set_of({rsa().jwk(R"(,"kid":"k1")"), p256().jwk(R"(,"kid":"k2")")})));
  for (const char* alg :
       {"none", "None", "NONE", "nOnE", "", "rs256", "RS256 ", "HS257", "ES256K", "RSA-OAEP", "dir"}) {
    CAPTURE(alg);
    CHECK(judge(rsa().sign(R"({"alg":")" + std::string(alg) + "\"}", kClaims)) == "algorithm");
  }
  for (const char* header : {"{}", R"({"alg":null})", R"({"alg":256})", R"({"alg":["RS256"]})", R"({"typ":"JWT"})"}) {
    CAPTURE(header);
    CHECK(judge(rsa().sign(header, kClaims)) == "algorithm");
  }
  // The key is there, but for another algorithm.
  CHECK(judge(rsa().sign(R"({"alg":"ES256","kid":"k1"})", kClaims)) == "algorithm");
  CHECK(judge(rsa().sign(R"({"alg":"HS256","kid":"k1"})", kClaims)) == "algorithm");
  CHECK(judge(rsa().as("PS256").sign(R"({"alg":"PS256","kid":"k1"})", kClaims)) == "algorithm");
}

TEST_CASE("a key is found by its id, and never brought by the token", "[jwt]") {
  const Signer attacker = Signer::rsa("RS256");
  Judge judge(keys_of(set_of({rsa().jwk(R"(,"kid":"k1")"), p256().jwk(R"(,"kid":"k2")")})));
  CHECK(judge(rsa().token(kClaims, R"(,"kid":"k1")")) == "good");
  CHECK(judge(p256().token(kClaims, R"(,"kid":"k2")")) == "good");
  CHECK(judge(p256().token(kClaims)) == "good");
  CHECK(judge(rsa().token(kClaims, R"(,"kid":"k2")")) == "algorithm");
  for (const char* kid : {"k3", "", "K1", "../../etc/passwd", "k1' OR '1'='1", "k1\\u0000", "k1|id", "/dev/null"}) {
    CAPTURE(kid);
    CHECK(judge(rsa().token(kClaims, R"(,"kid":")" + std::string(kid) + "\"")) == "key_unknown");
  }
  for (const std::string& more : {R"(,"jwk":)" + attacker.jwk(), R"(,"kid":"k1","jwk":)" + attacker.jwk(),
                                  std::string(R"(,"jku":"http://127.0.0.1:1/")"),
                                  std::string(R"(,"x5u":"http://127.0.0.1:1/")"), std::string(R"(,"x5c":["MIIB"])")}) {
    CAPTURE(more);
    CHECK(judge(attacker.token(kClaims, more)) == "signature");
    CHECK(judge(rsa().token(kClaims, more)) == "good");  // not looked at, as RFC 7515 allows
  }
  // A key without an id is for any token; so is any key for a token without one, but only so many are tried.
  CHECK(Judge(keys_of(rsa().jwk()))(rsa().token(kClaims, R"(,"kid":"whatever")")) == "good");
  Keys many;
  const Signer signer = Signer::secret(std::string(32, 'z'));
  for (int i = 0; i < Verifier::kMaxTried; ++i) {
    for (auto& key : keys_of(Signer::secret(std::string(32, static_cast<char>('a' + i))).jwk())) many.push_back(key);
  }
  Keys last = many;
  last.pop_back();
  last.push_back(keys_of(signer.jwk()).at(0));
  CHECK(Judge(last)(signer.token(kClaims)) == "good");
  many.push_back(last.back());
  CHECK(Judge(many)(signer.token(kClaims)) == "signature");
  // Whose id the token names comes before those, and if nobody's is it, a newer set may have it.
  many.back() = keys_of(signer.jwk(R"(,"kid":"z")")).at(0);
  CHECK(Judge(many)(signer.token(kClaims, R"(,"kid":"z")")) == "good");
  CHECK(Judge(many)(signer.token(kClaims, R"(,"kid":"new")")) == "key_unknown");
  CHECK(Judge(keys_of(attacker.jwk()))(rsa().token(kClaims, R"(,"kid":"new")")) == "key_unknown");
  CHECK(Judge(keys_of(attacker.jwk()))(rsa().token(kClaims)) == "signature");
}

TEST_CASE("signatures of ECDSA have one form", "[jwt]") {
  Judge judge(keys_of(p256().jwk()));
  const std::string text = jwt_test::joined(R"({"alg":"ES256"})", kClaims);
  const std::string raw = p256().signature(text);
  const auto with = [&](std::string_view signature) { return judge(text + "." + base64url(signature)); };
  REQUIRE(with(raw) == "good");
  // DER, as libcrypto makes it.
  std::string der(128, '\0');
  size_t size = der.size();
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, p256().key());
  EVP_DigestSign(context, reinterpret_cast<unsigned char*>(der.data()), &size,
                 reinterpret_cast<const unsigned char*>(text.data()), text.size());
  EVP_MD_CTX_free(context);
  der.resize(size);
  CHECK(with(der) == "signature");
  const std::string zero(32, '\0');
  const std::string order = "\xff\xff\xff\xff" + zero.substr(0, 4) +
                            "\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63"
                            "\x25\x51";  // SEC 2 §2.4.2
  REQUIRE(order.size() == 32);
  for (const std::string& bad :
       {zero + zero, zero + raw.substr(32), raw.substr(0, 32) + zero, order + raw.substr(32), raw.substr(0, 32) + order,
        raw.substr(0, 63), raw + '\0', raw.substr(0, 32) + '\0' + raw.substr(32), '\0' + raw, raw.substr(0, 32),
        raw + raw, std::string("\0", 1), raw.substr(32) + raw.substr(0, 32)}) {
    CHECK(with(bad) == "signature");
  }
  // Another curve's.
  CHECK(Judge(keys_of(Signer::ec("ES384", "P-384").jwk()))(p256().sign(R"({"alg":"ES384"})", kClaims)) == "signature");
}

TEST_CASE("a token is good for its time, with some skew", "[jwt]") {
  const Signer signer = Signer::secret(std::string(32, 'k'));
  Judge judge(keys_of(signer.jwk()));
  const auto says = [&](std::string_view claims) { return judge(signer.token(claims)); };
  CHECK(says(R"({"exp":1699999941})") == "good");
  CHECK(says(R"({"exp":1699999940})") == "expired");
  CHECK(says(R"({"exp":1699999940.5})") == "good");
  CHECK(says(R"({"exp":-1})") == "expired");
  CHECK(says(R"({"exp":0})") == "expired");
  CHECK(says(R"({"exp":1e30})") == "good");
  CHECK(says(R"({"exp":18446744073709551615})") == "good");
  CHECK(says(R"({"exp":-9223372036854775808})") == "expired");
  CHECK(says(R"({"exp":1700000600,"nbf":1700000060})") == "good");
  CHECK(says(R"({"exp":1700000600,"nbf":1700000061})") == "not_yet_valid");
  CHECK(says(R"({"exp":1700000600,"iat":1700000061})") == "not_yet_valid");
  CHECK(says(R"({"exp":1700000600,"iat":1700000060,"nbf":1})") == "good");
  CHECK(says(R"({"exp":1700000600,"nbf":1e300})") == "not_yet_valid");
  for (const char* odd : {"\"1700000600\"", "true", "null", "[1700000600]", "{}", "\"\""}) {
    CAPTURE(odd);
    CHECK(says("{\"exp\":" + std::string(odd) + "}") == "claims");
    CHECK(says("{\"exp\":1700000600,\"nbf\":" + std::string(odd) + "}") == "claims");
    CHECK(says("{\"exp\":1700000600,\"iat\":" + std::string(odd) + "}") == "claims");
  }
  for (const char* odd : {"1700000600s", "NaN", "Infinity", "0x10", "1_000", "01700000600", "1e999"}) {
    CAPTURE(odd);
    CHECK(says("{\"exp\":" + std::string(odd) + "}") == "malformed");
  }
  CHECK(says("{}") == "good");
  judge.rules.required_claims = {"exp"};
  CHECK(says("{}") == "claims");
}

TEST_CASE("claims are what the configuration asks for", "[jwt]") {
  const Signer signer = Signer::secret(std::string(32, 'k'));
  TokenRules rules;
  rules.issuers = {"https://a", "https://b"};
  rules.audiences = {"api", "web"};
  rules.scopes = {"read", "write"};
  rules.required_claims = {"exp", "jti"};
  Judge judge(keys_of(signer.jwk()), rules);
  const auto says = [&](std::string_view iss, std::string_view aud, std::string_view more) {
    return judge(signer.token(R"({"exp":1700000600,"jti":"1","iss":)" + std::string(iss) +
                              ",\"aud\":" + std::string(aud) + "," + std::string(more) + "}"));
  };
  constexpr auto kScope = R"("scope":"write x read")";
  CHECK(says(R"("https://b")", R"("api")", kScope) == "good");
  CHECK(says(R"("https://a")", R"(["x","web"])", kScope) == "good");
  CHECK(says(R"("https://c")", R"("api")", kScope) == "issuer");
  CHECK(says(R"("https://a/")", R"("api")", kScope) == "issuer");
  CHECK(says(R"(["https://a"])", R"("api")", kScope) == "claims");
  CHECK(says(R"("https://a")", R"("API")", kScope) == "audience");
  CHECK(says(R"("https://a")", R"([])", kScope) == "audience");
  CHECK(says(R"("https://a")", R"([1,["api"],{"api":"api"}])", kScope) == "audience");
  CHECK(says(R"("https://a")", "null", kScope) == "audience");
  CHECK(says(R"("https://a")", R"("api")", R"("scope":"read")") == "scope");
  CHECK(says(R"("https://a")", R"("api")", R"("scope":"readwrite read,write")") == "scope");
  CHECK(says(R"("https://a")", R"("api")", R"("scp":["read","write"])") == "good");
  CHECK(says(R"("https://a")", R"("api")", R"("sub":7,"scope":"read write")") == "claims");
  CHECK(judge(signer.token(R"({"exp":1700000600,"iss":"https://a","aud":"api","jti":null,"scope":"read write"})")) ==
        "claims");

  // A key may be one issuer's.
  Judge bound(keys_of(signer.jwk(), {.algorithms = {}, .id = "", .issuer = "https://a"}));
  CHECK(bound(signer.token(R"({"exp":1700000600,"iss":"https://a"})")) == "good");
  CHECK(bound(signer.token(R"({"exp":1700000600,"iss":"https://b"})")) == "issuer");
  CHECK(bound(signer.token(R"({"exp":1700000600})")) == "issuer");

  // The same key may be several issuers', say tenants'; it is theirs alone.
  const auto of = [&](const char* issuer, const std::string& key) {
    return keys_of(key, {.algorithms = {}, .id = "", .issuer = issuer}).at(0);
  };
  const std::string other = Signer::secret(std::string(32, 'o')).jwk();
  Judge shared({of("https://b", other), of("https://a", signer.jwk()), of("https://b", signer.jwk()),
                of("https://c", signer.jwk(R"(,"kid":"c")"))});
  const auto from = [&](const char* issuer, const char* header = "") {
    return shared(signer.token(R"({"exp":1700000600,"iss":")" + std::string(issuer) + "\"}", header));
  };
  CHECK(from("https://a") == "good");
  CHECK(from("https://b") == "good");
  shared.keys.erase(shared.keys.begin() + 2);
  CHECK(shared.token.is_orphan());  // it is good by that key, and no other
  CHECK(from("https://b") == "issuer");
  CHECK(from("https://c") == "good");
  CHECK(from("https://c", R"(,"kid":"c")") == "good");
  CHECK(from("https://a", R"(,"kid":"c")") == "good");
  CHECK(from("https://b", R"(,"kid":"c")") == "issuer");
  shared.keys.erase(shared.keys.begin() + 1);
  CHECK(from("https://a", R"(,"kid":"c")") == "issuer");

  TokenRules typed;
  typed.types = {"at+jwt"};
  Judge by_type(keys_of(signer.jwk()), typed);
  CHECK(by_type(signer.token(kClaims, R"(,"typ":"at+JWT")")) == "good");
  CHECK(by_type(signer.token(kClaims, R"(,"typ":"application/at+jwt")")) == "good");
  CHECK(by_type(signer.token(kClaims, R"(,"typ":"JWT")")) == "type");
  CHECK(by_type(signer.token(kClaims)) == "type");
}

TEST_CASE("what others are told of a token", "[jwt]") {
  const Signer signer = Signer::secret(std::string(32, 'k'));
  TokenRules rules;
  rules.headers = {{"sub", "X-User"}, {"roles", "X-Roles"}, {"age", "X-Age"}, {"none", "X-None"}};
  Judge judge(keys_of(signer.jwk()), rules);
  REQUIRE(judge(signer.token(
              R"({"a":"first","n":-5,"big":12345678901234567890,"f":1.5,"t":true,"nil":null,"o":{"x":1},"long":")" +
              std::string(257, 'x') + R"(","fits":")" + std::string(256, 'x') +
              R"(","exp":1700000600,"sub":"zo\u00eb","roles":["a","b",3],"age":41})")) == "good");
  CHECK(judge.shared("jwt.sub") == "zo\xc3\xab");
  CHECK(judge.shared("jwt.a") == "first");
  CHECK(judge.shared("jwt.n") == "-5");
  CHECK(judge.shared("jwt.big") == "12345678901234567890");
  CHECK(judge.shared("jwt.f") == "1.5");
  CHECK(judge.shared("jwt.t") == "true");
  CHECK(judge.shared("jwt.exp") == "1700000600");
  CHECK(judge.shared("jwt.fits") == std::string(256, 'x'));
  for (const char* left_out : {"jwt.nil", "jwt.o", "jwt.roles", "jwt.long"}) CHECK(judge.shared(left_out) == "(none)");
  CHECK(judge.headers() ==
        std::map<std::string, std::string>{{"X-User", "zo\xc3\xab"}, {"X-Roles", "a,b,3"}, {"X-Age", "41"}});

  // What cannot be a header is refused rather than left out.
  for (const char* sub : {"a\\nX-Admin: 1", "a\\r", "\\u0000", " a", "a\\u007f"}) {
    CAPTURE(sub);
    CHECK(judge(signer.token(R"({"exp":1700000600,"sub":")" + std::string(sub) + "\"}")) == "claims");
  }
  for (const char* roles : {R"(["a,b"])", R"([["a"]])", R"({"a":1})", R"([null])"}) {
    CAPTURE(roles);
    CHECK(judge(signer.token(R"({"exp":1700000600,"roles":)" + std::string(roles) + "}")) == "claims");
  }

  std::string many = R"({"exp":1700000600)";
  for (int i = 0; i < 100; ++i) many += ",\"c" + std::to_string(i) + "\":1";
  REQUIRE(judge(signer.token(many + R"(,"iss":"i","sub":"last"})")) == "good");
  int count = 0;
  judge.token.for_each_shared([&](auto, auto) { ++count; });
  CHECK(count == 32);
  CHECK(judge.shared("jwt.sub") == "last");
  CHECK(judge.shared("jwt.iss") == "i");

  // Whose it is must reach those who tell people apart by it.
  for (const char* claim : {"sub", "iss"}) {
    CAPTURE(claim);
    const auto long_one = [&](size_t bytes) {
      return signer.token("{\"exp\":1700000600,\"" + std::string(claim) + "\":\"" + std::string(bytes, 'x') + "\"}");
    };
    CHECK(judge(long_one(256)) == "good");
    CHECK(judge(long_one(257)) == "claims");
  }
}

TEST_CASE("a token has a largest size", "[jwt]") {
  const Signer signer = Signer::secret(std::string(32, 'k'));
  TokenRules rules;
  Judge judge(keys_of(signer.jwk()), rules);
  const auto sized = [&](size_t bytes) {
    return signer.token(R"({"exp":1700000600,"x":")" + std::string(bytes, 'x') + "\"}");
  };
  CHECK(judge(sized(5'000)) == "good");
  CHECK(judge(sized(8'000)) == "too_long");
  CHECK(judge(std::string(1 << 20, '.')) == "too_long");
  std::string members = R"({"exp":1700000600)";
  for (int i = 0; i < 700; ++i) members += ",\"" + std::to_string(i) + "\":0";
  CHECK(judge(signer.token(members + "}")) == "good");
}

TEST_CASE("a set of keys gives what can be used, and tells what cannot", "[jwt]") {
  const std::string good = p256().jwk(R"(,"kid":"good")");
  const auto left_out = [&](const std::string& key) {
    const auto parsed = parse_keys(set_of({key, good}), {});
    REQUIRE(parsed);
    CAPTURE(key);
    CHECK(parsed->keys.size() == 1);
    CHECK(parsed->keys.at(0)->id == "good");
    return parsed->skipped;
  };
  const auto changed = [](std::string text, std::string_view from, std::string_view to) {
    return text.replace(text.find(from), from.size(), to);
  };
  CHECK(left_out(p256().jwk(R"(,"kid":"e","use":"enc")")) == "key \"e\" is not for signatures");
  CHECK(left_out(p256().jwk(R"(,"key_ops":["sign"])")) == "key \"\" is not for signatures");
  CHECK_FALSE(left_out(p256().jwk(R"(,"key_ops":"verify")")).empty());
  CHECK_FALSE(left_out(p256().jwk(R"(,"alg":"ES256K")")).empty());
  CHECK_FALSE(left_out(p256().jwk(R"(,"alg":1)")).empty());
  CHECK_FALSE(left_out(changed(p256().jwk(), "P-256", "P-384")).empty());
  CHECK_FALSE(left_out(changed(p256().jwk(), "P-256", "secp256k1")).empty());
  CHECK_FALSE(left_out(changed(p256().jwk(), "\"x\":\"", "\"x\":\"AA")).empty());
  // (1, 1) is on no curve of NIST's.
  const std::string one = base64url(std::string(31, '\0') + '\1');
  CHECK_FALSE(left_out(R"({"kty":"EC","crv":"P-256","x":")" + one + R"(","y":")" + one + "\"}").empty());
  CHECK_FALSE(left_out(R"({"kty":"OKP","crv":"Ed25519","x":"AA"})").empty());
  // A point of order 4, and one of order 2: a signature of zeros would hold for many texts.
  CHECK_FALSE(left_out(R"({"kty":"OKP","crv":"Ed25519","x":")" + base64url(std::string(32, '\0')) + "\"}").empty());
  CHECK_FALSE(
      left_out(R"({"kty":"OKP","crv":"Ed25519","x":")" + base64url("\xec" + std::string(30, '\xff') + "\xff") + "\"}")
          .empty());
  CHECK_FALSE(left_out(R"({"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})").empty());
  CHECK_FALSE(left_out(R"({"kty":"oct","k":"c2hvcnQ"})").empty());
  CHECK_FALSE(left_out(R"({"kty":"new"})").empty());
  CHECK_FALSE(left_out(R"({})").empty());
  CHECK_FALSE(left_out(Signer::rsa("RS256", 1024).jwk()).empty());
  CHECK_FALSE(left_out(changed(rsa().jwk(), "AQAB", "AA")).empty());
  CHECK_FALSE(left_out(changed(rsa().jwk(), "AQAB", "AQ")).empty());
  CHECK_FALSE(left_out(changed(rsa().jwk(), "AQAB", "AQAA")).empty());
  CHECK_FALSE(left_out(changed(rsa().jwk(), "AQAB", base64url(std::string(200, '\1')))).empty());
  KeyRules public_only;
  public_only.secrets = false;
  CHECK(keys_of(set_of({Signer::secret(std::string(32, 'k')).jwk(), good}), public_only).size() == 1);
  CHECK(keys_of(R"({"keys":[]})").empty());
  CHECK(keys_of(p256().jwk(R"(,"key_ops":["verify"],"use":"sig","x5c":["?"])")).size() == 1);

  std::string too_many;
  for (int i = 0; i < 129; ++i) too_many += (i == 0 ? "" : ",") + good;
  for (const std::string& bad :
       {std::string(""), std::string("<html>"), std::string("[]"), std::string("{}"), std::string(R"({"keys":{}})"),
        std::string(R"({"keys":[1]})"), std::string(R"({"keys":[],"keys":[]})"), "{\"keys\":[" + too_many + "]}",
        set_of({good}) + "x", set_of({good}).substr(1)}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_keys(bad, {}));
  }
}

TEST_CASE("keys that a new set still has are the same objects", "[jwt]") {
  const std::string a = p256().jwk(R"(,"kid":"a")");
  const std::string b = rsa().jwk(R"(,"kid":"b")");
  const Keys old = keys_of(set_of({a, b}));
  const Keys same = keep_known(old, keys_of(set_of({b, a})));
  CHECK(same.at(0) == old.at(1));
  CHECK(same.at(1) == old.at(0));
  const Keys other =
      keep_known(old, keys_of(set_of({p256().jwk(R"(,"kid":"c")"), rsa().jwk(R"(,"kid":"b","alg":"RS512")"),
                                      Signer::ec("ES256", "P-256").jwk(R"(,"kid":"a")")})));
  for (const auto& key : other) {
    for (const auto& known : old) CHECK(key != known);
  }
}

TEST_CASE("PEM holds a public key or a certificate", "[jwt]") {
  CHECK(VerifyKey::of_pem(pem_of(rsa()))->kind() == KeyKind::rsa);
  CHECK(VerifyKey::of_pem(pem_of(p256()))->kind() == KeyKind::p256);
  CHECK(VerifyKey::of_pem(pem_of(Signer::ed25519()))->kind() == KeyKind::ed25519);
  CHECK_FALSE(VerifyKey::of_pem(pem_of(Signer::rsa("RS256", 1024))));
  CHECK_FALSE(VerifyKey::of_pem(pem_of(Signer::ec("ES256", "secp256k1"))));
  CHECK_FALSE(VerifyKey::of_pem(""));
  CHECK_FALSE(VerifyKey::of_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"));
  CHECK_FALSE(VerifyKey::of_pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
}

// What a listener shows to whom, and the keys of its tickets.
#include <algorithm>
#include <catch2/catch.hpp>

#include "certificates.h"
#include "tls/server_context.h"

using namespace sluice;
using namespace sluice::tls;
using namespace sluice::tls::test;

namespace {

std::shared_ptr<const Certificate> certificate(const std::string& names, bool rsa = false) {
  const Identity made = make_identity("server", {.alternative_names = names, .rsa = rsa});
  Failure failure;
  auto result = Certificate::make(
      {.certificate_pem = made.certificate_pem(), .key_pem = made.key_pem(), .ocsp_der = {}}, failure);
  CAPTURE(failure.why);
  REQUIRE(result != nullptr);
  return result;
}

using Bytes = std::array<unsigned char, 16>;

}  // namespace

TEST_CASE("a name is answered with its own certificate, then a wildcard's, then the default") {
  const auto first = certificate("DNS:first.test");
  const auto second = certificate("DNS:b.test,DNS:*.wild.test");
  const auto third = certificate("DNS:x.wild.test,DNS:C.test");
  Failure failure;
  const auto context = ServerContext::make({.certificates = {first, second, third}}, failure);
  REQUIRE(context != nullptr);
  using Choice = ServerContext::Choice;
  CHECK(context->choice_for("b.test") == Choice{second});
  CHECK(context->choice_for("B.Test") == Choice{second});
  CHECK(context->choice_for("c.test") == Choice{third});
  CHECK(context->choice_for("x.wild.test") == Choice{third});
  CHECK(context->choice_for("y.wild.test") == Choice{second});
  for (const std::string_view other :
       {"", ".", "wild.test", ".wild.test", "y.x.wild.test", "*.wild.test.", "nobody.test"}) {
    CAPTURE(other);
    CHECK(context->choice_for(other) == Choice{first});
  }
  CHECK(context->choice_for(std::string(300, 'a') + ".wild.test") == Choice{first});
}

TEST_CASE("certificates for the same names stand side by side, the first of each kind of key") {
  const auto one = certificate("DNS:a.test,DNS:b.test");
  const auto renewed = certificate("DNS:a.test,DNS:b.test");
  const auto rsa = certificate("DNS:b.test,DNS:a.test", true);
  const auto third = certificate("DNS:b.test,DNS:c.test");
  Failure failure;
  const auto context = ServerContext::make({.certificates = {one, renewed, rsa, third}}, failure);
  REQUIRE(context != nullptr);
  using Choice = ServerContext::Choice;
  CHECK(context->choice_for("a.test") == Choice{one, rsa});
  CHECK(context->choice_for("b.test") == Choice{one, rsa});
  CHECK(context->choice_for("c.test") == Choice{third});
  CHECK(context->choice_for("unknown.test") == Choice{one, rsa});
}

TEST_CASE("ticket keys are made anew, and the last ones are good for as long again") {
  MonoTime now{std::chrono::hours(1000)};
  TicketKeys keys([&now] { return now; });
  const auto first = keys.current();
  now += TicketKeys::kRotation - Micros(1);
  CHECK(keys.current().name == first.name);
  now += Micros(1);
  const auto second = keys.current();
  CHECK(second.name != first.name);
  CHECK(second.aes != first.aes);
  REQUIRE(keys.find(first.name.data()));
  CHECK_FALSE(keys.find(first.name.data())->current);
  CHECK(keys.find(first.name.data())->key.aes == first.aes);
  CHECK(keys.find(second.name.data())->current);
  now += TicketKeys::kRotation;
  CHECK_FALSE(keys.find(first.name.data()));
  CHECK(keys.find(second.name.data()));
  const auto third = keys.current();
  now += 2 * TicketKeys::kRotation;  // nobody asked meanwhile
  CHECK_FALSE(keys.find(third.name.data()));
  CHECK_FALSE(keys.find(Bytes{}.data()));
}

TEST_CASE("ticket keys of files seal with the first, and never change") {
  std::string one(TicketKeys::kFileBytes, '1');
  std::string two(TicketKeys::kFileBytes, '2');
  Failure failure;
  const auto keys = TicketKeys::of_files({one, two}, failure);
  REQUIRE(keys != nullptr);
  CHECK(keys->current().name[0] == '1');
  CHECK(keys->find(keys->current().name.data())->current);
  Bytes name;
  name.fill('2');
  REQUIRE(keys->find(name.data()));
  CHECK_FALSE(keys->find(name.data())->current);
  two.pop_back();
  CHECK(TicketKeys::of_files({one, two}, failure) == nullptr);
  CHECK(failure.part == Failure::Part::ticket_key);
  CHECK(failure.which == 1);
  CHECK(failure.why == "it holds 79 bytes, and not 80 random ones");
}

TEST_CASE("a certificate tells its names, in lower case, and refuses a key of another") {
  const Identity one = make_identity("One", {.alternative_names = "DNS:B.test,IP:127.0.0.1,DNS:*.c.test"});
  const Identity plain = make_identity("Plain.Test", {});
  Failure failure;
  const auto made = [&](const Identity& of, const Identity& key) {
    return Certificate::make({.certificate_pem = of.certificate_pem(), .key_pem = key.key_pem(), .ocsp_der = {}},
                             failure);
  };
  REQUIRE(made(one, one) != nullptr);
  CHECK(made(one, one)->names() == std::vector<std::string>{"b.test", "*.c.test"});
  CHECK(made(one, one)->expires() > wall_now().count() / 1'000'000);
  CHECK(made(plain, plain)->names() == std::vector<std::string>{"plain.test"});
  CHECK(made(one, plain) == nullptr);
  CHECK(failure.part == Failure::Part::key);
  CHECK(failure.why == "the key does not belong to the certificate");
}

TEST_CASE("keys are read in every form in which OpenSSL writes them, one after the other") {
  const Identity ec = make_identity("ec");
  const Identity rsa = make_identity("rsa", {.rsa = true});
  const auto old_form = [](EVP_PKEY* key) {
    const BioPtr bio(BIO_new(BIO_s_mem()));
    REQUIRE(PEM_write_bio_PrivateKey_traditional(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
    char* bytes = nullptr;
    const long length = BIO_get_mem_data(bio.get(), &bytes);
    return std::string(bytes, static_cast<size_t>(length));
  };
  // As `openssl ecparam -genkey` has it.
  const std::string parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
  std::string why;
  for (int times = 0; times < 2; ++times) {
    for (const Identity* one : {&ec, &rsa}) {
      for (const std::string& form : {one->key_pem(), old_form(one->key.get()), "# a comment\n\n" + one->key_pem(),
                                      parameters + old_form(one->key.get()), one->certificate_pem() + one->key_pem()}) {
        CAPTURE(form);
        const KeyPtr key = read_key(form, why);
        REQUIRE(key != nullptr);
        CHECK(X509_check_private_key(one->certificate.get(), key.get()) == 1);
      }
      CHECK(read_key(pem_of(one->key.get(), "password"), why) == nullptr);
      CHECK(why == "the key is encrypted; write it without a password");
      CHECK(read_key(one->certificate_pem(), why) == nullptr);
      CHECK(why == "there is no private key in it");
      CHECK(read_key(parameters, why) == nullptr);
      CHECK(read_key(one->key_pem().substr(0, 100), why) == nullptr);
    }
  }
}

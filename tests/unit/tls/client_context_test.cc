// What a ClientContext is made of, and what it says of what cannot be used.
#include "tls/client_context.h"

#include <catch2/catch.hpp>

#include "certificates.h"

using namespace sluice::tls;
using namespace sluice::tls::test;
using Part = ClientContext::Failure::Part;

namespace {
struct Refused {
  bool refused;
  Part part;
  std::string why;
};
Refused make(const ClientContext::Options& options) {
  ClientContext::Failure failure;
  const bool refused = ClientContext::make(options, failure) == nullptr;
  return {refused, failure.part, failure.why};
}
}  // namespace

TEST_CASE("files that cannot be used are named, with the reason", "[tls]") {
  const Identity authority = make_authority("authority");
  const Identity ours = make_identity("ours", {.signer = &authority});
  const Identity other = make_identity("other", {.signer = &authority});
  const ClientContext::Options good{.ca_pem = authority.certificate_pem(),
                                    .certificate_pem = ours.certificate_pem() + authority.certificate_pem(),
                                    .key_pem = ours.key_pem()};
  CHECK_FALSE(make(good).refused);
  CHECK_FALSE(make({}).refused);
  const auto refuses = [&](std::string ClientContext::Options::*member, const std::string& text, Part part,
                           const std::string& why) {
    ClientContext::Options options = good;
    options.*member = text;
    const Refused made = make(options);
    REQUIRE(made.refused);
    CHECK(made.part == part);
    CHECK(made.why == why);
  };
  const std::string broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  using Options = ClientContext::Options;
  refuses(&Options::ca_pem, "no PEM\n", Part::ca, "there is no certificate in it");
  refuses(&Options::ca_pem, authority.certificate_pem() + broken, Part::ca,
          "certificate 2 in it cannot be read: ASN1 lib");
  refuses(&Options::certificate_pem, ours.key_pem(), Part::certificate, "there is no certificate in it");
  refuses(&Options::key_pem, ours.certificate_pem(), Part::key, "there is no private key in it");
  refuses(&Options::key_pem, "", Part::key, "there is no private key in it");
  refuses(&Options::key_pem, other.key_pem(), Part::key, "the key does not belong to the certificate");
  refuses(&Options::key_pem, pem_of(ours.key.get(), "secret"), Part::key,
          "the key is encrypted; write it without a password");
}

TEST_CASE("a chain and several authorities in one file are all used", "[tls]") {
  const Identity one = make_authority("one"), two = make_authority("two");
  CHECK_FALSE(make({.ca_pem = one.certificate_pem() + "\nsome words\n" + two.certificate_pem()}).refused);
  // The same one twice is no mistake either.
  CHECK_FALSE(make({.ca_pem = one.certificate_pem() + one.certificate_pem()}).refused);
}

// The `tls` section of upstreams; what it shares with that of stores stands in store_compiler_test.cc.
#include <catch2/catch.hpp>

#include "../tls/certificates.h"
#include "control/diff.h"
#include "temporary_folder.h"
#include "text_of.h"

using namespace sluice;
using namespace sluice::control;
using snapshot::ClusterSpec;

namespace {

// `upstreams` stands in line 4; routes use none of them.
CompileResult compile_upstreams(const TemporaryFolder& folder, const std::string& upstreams) {
  return compile_file(folder.write(
      "x.yaml", "version: 1\nlisteners: {public: {address: \"127.0.0.1:8080\"}}\nupstreams:\n  " + upstreams + "\n"));
}

std::vector<ClusterSpec> clusters_of(const CompileResult& result) {
  REQUIRE(messages_of(result.errors).empty());
  return result.snapshot->clusters;
}

}  // namespace

TEST_CASE("an upstream speaks TLS if it has the section, unless that says no") {
  const TemporaryFolder folder;
  const auto tls_of = [&](const std::string& tls) {
    return clusters_of(compile_upstreams(folder, "a: {endpoints: [\"127.0.0.1:1\"]" + tls + "}"))[0].tls;
  };
  for (const char* yes :
       {", tls: {}", ", tls: ", ", tls: true", ", tls: {enabled: true}", ", tls: {server_name: a.test}"}) {
    CAPTURE(yes);
    const auto tls = tls_of(yes);
    REQUIRE(tls);
    CHECK(tls->context != nullptr);
    CHECK(tls->verify);
    CHECK(tls->alpn == std::vector<std::string>{"http/1.1"});
  }
  CHECK(tls_of(", tls: {server_name: a.test}")->server_name == "a.test");
  for (const char* no : {"", ", tls: false", ", tls: {enabled: false, ca_file: none}"}) {
    CAPTURE(no);
    CHECK_FALSE(tls_of(no));
  }
}

TEST_CASE("upstreams that trust the same authorities share one context, whatever their servers are called") {
  const TemporaryFolder folder;
  folder.write("a.pem", tls::test::make_authority("a").certificate_pem());
  folder.write("b.pem", tls::test::make_authority("b").certificate_pem());
  const auto clusters = clusters_of(compile_upstreams(folder, R"(a: {endpoints: ["127.0.0.1:1"], tls: {ca_file: a.pem}}
  b: {endpoints: ["127.0.0.1:2"], tls: {ca_file: a.pem, server_name: b.test}}
  c: {endpoints: ["127.0.0.1:3"], tls: {ca_file: b.pem}}
  d: {endpoints: ["127.0.0.1:3"], tls: {ca_file: a.pem, verify: false}})"));
  CHECK(clusters[0].tls->context == clusters[1].tls->context);
  CHECK(clusters[0].tls->context != clusters[2].tls->context);
  CHECK(clusters[0].tls->context != clusters[3].tls->context);
}

TEST_CASE("an upstream is another one when its files hold something else") {
  const TemporaryFolder folder;
  folder.write("ca.pem", tls::test::make_authority("a").certificate_pem());
  const std::string upstreams = "a: {endpoints: [\"127.0.0.1:1\"], tls: {ca_file: ca.pem}}";
  const CompileResult before = compile_upstreams(folder, upstreams);
  CHECK(before.certificates.files().contains(folder / "ca.pem"));
  const CompileResult same = compile_upstreams(folder, upstreams);
  CHECK(clusters_of(before) == clusters_of(same));
  CHECK(changed_contents(*before.snapshot, *same.snapshot).empty());
  folder.write("ca.pem", tls::test::make_authority("b").certificate_pem());
  const CompileResult later = compile_upstreams(folder, upstreams);
  CHECK_FALSE(clusters_of(before) == clusters_of(later));
  CHECK(changed_contents(*before.snapshot, *later.snapshot) ==
        std::vector<std::string>{"upstream \"a\": tls.ca_file: it holds other certificates"});
}

TEST_CASE("an upstream is another one when the system trusts others") {
  const TemporaryFolder folder;
  folder.write("system.pem", tls::test::make_authority("a").certificate_pem());
  ::setenv("SSL_CERT_FILE", (folder / "system.pem").c_str(), 1);
  const std::string upstreams =
      "a: {endpoints: [\"127.0.0.1:1\"], tls: true}\n  b: {endpoints: [\"127.0.0.1:1\"], tls: {verify: false}}";
  const CompileResult before = compile_upstreams(folder, upstreams);
  CHECK(before.certificates.files().contains(folder / "system.pem"));
  const CompileResult same = compile_upstreams(folder, upstreams);
  CHECK(clusters_of(before) == clusters_of(same));
  folder.write("system.pem", tls::test::make_authority("another").certificate_pem());
  const CompileResult later = compile_upstreams(folder, upstreams);
  ::unsetenv("SSL_CERT_FILE");
  CHECK_FALSE(clusters_of(before)[0] == clusters_of(later)[0]);
  CHECK(clusters_of(before)[1] == clusters_of(later)[1]);
  CHECK(changed_contents(*before.snapshot, *later.snapshot) ==
        std::vector<std::string>{"upstream \"a\": tls.ca_file: the system trusts others"});
}

TEST_CASE("mistakes in an upstream's tls have their place") {
  const TemporaryFolder folder;
  const auto messages = [&](const std::string& upstream) {
    return messages_of(compile_upstreams(folder, "a: {" + upstream + "}").errors);
  };
  CHECK(messages("endpoints: [\"127.0.0.1:1\"], tls: {ca_file: none}") ==
        "4:50 ca_file: cannot read " + folder / "none" + ": No such file or directory\n");
  CHECK(messages("endpoints: [\"127.0.0.1:1\", \"unix:/x\"], tls: true") ==
        "4:34 TLS is not possible over a unix socket\n");
  CHECK(messages("endpoints: [\"127.0.0.1:1\"], tls: yes please")
            .starts_with("4:40 enabled: \"yes please\" is not a boolean"));
  CHECK(messages("endpoints: [\"127.0.0.1:1\"], tls: {cert: x}").starts_with("4:41 unknown key \"cert\""));
}

#include "control/store_compiler.h"

#include <catch2/catch.hpp>

#include "../tls/certificates.h"
#include "control/diff.h"
#include "temporary_folder.h"
#include "text_of.h"

using namespace sluice;
using namespace sluice::control;
using snapshot::RedisSpec;
using snapshot::StoreSpec;

namespace {

// A configuration with these stores; the first stands in line 5.
std::string with_stores(const std::string& stores) { return with("stores:\n  " + stores + "\n"); }

StoreSpec only_store(const CompileResult& result) {
  REQUIRE(messages_of(result.errors).empty());
  REQUIRE(result.snapshot->stores.size() == 1);
  return result.snapshot->stores[0];
}

}  // namespace

TEST_CASE("a memory store needs its type only") {
  StoreSpec expected{.name = "default"};
  CHECK(only_store(compile_text(with_stores("default: {type: memory}"), "x")) == expected);
  CHECK(expected.max_bytes == 256u << 20);
  expected.max_bytes = 1u << 20;
  CHECK(only_store(compile_text(with_stores("default: {type: memory, max_bytes: 1MiB}"), "x")) == expected);
  expected.evict = false;
  CHECK(only_store(compile_text(with_stores("default: {type: memory, max_bytes: 1MiB, evict: false}"), "x")) ==
        expected);
}

TEST_CASE("a Redis store with everything") {
  const TemporaryFolder folder;
  folder.write("secret", "correct horse\r\n");
  const auto path = folder.write("x.yaml", with_stores(R"(shared:
    type: redis
    address: ["10.0.0.1:26379", "sentinel.internal:26379"]
    mode: sentinel
    master_name: main
    db: 3
    username: sluice
    password_file: secret
    connections: 4
    timeout: 20ms)"));
  const StoreSpec store = only_store(compile_file(path));
  CHECK(store.name == "shared");
  CHECK(store.type == StoreSpec::Type::redis);
  const RedisSpec& redis = store.redis;
  CHECK(redis.mode == RedisSpec::Mode::sentinel);
  REQUIRE(redis.servers.size() == 2);
  CHECK(redis.servers[0].address.to_string() == "10.0.0.1:26379");
  CHECK(redis.servers[0].host.empty());
  CHECK(redis.servers[1].host == "sentinel.internal");
  CHECK(redis.servers[1].port == 26379);
  CHECK(redis.master_name == "main");
  CHECK(redis.db == 3);
  CHECK(redis.username == "sluice");
  CHECK(redis.password == "correct horse");
  CHECK(redis.connections == 4);
  CHECK(redis.timeout == Millis(20));
}

TEST_CASE("what a Redis store is without a word") {
  const RedisSpec redis =
      only_store(compile_text(with_stores("s: {type: redis, address: [\"unix:/run/redis.sock\"]}"), "x")).redis;
  CHECK(redis.mode == RedisSpec::Mode::single);
  REQUIRE(redis.servers.size() == 1);
  CHECK(redis.servers[0].address.to_string() == "unix:/run/redis.sock");
  CHECK(redis.db == 0);
  CHECK(redis.username.empty());
  CHECK(redis.password.empty());
  CHECK(redis.connections == 2);
  CHECK(redis.timeout == Millis(50));
}

TEST_CASE("two stores are equal if every part of them is, the password too") {
  StoreSpec one{.name = "s", .type = StoreSpec::Type::redis};
  StoreSpec other = one;
  CHECK(one == other);
  other.redis.password = "x";
  CHECK_FALSE(one == other);
}

TEST_CASE("stores are of a known type and have a name each") {
  check_all({
      {with("stores: {}"), ""},
      {with("stores:"), ""},
      {with("stores: [a]"), "4:9 stores: a map is expected, not a list\n"},
      {with_stores("a b: {type: memory}"), "5:3 \"a b\" is not a name: use at most 64 letters, digits, and . _ -\n"},
      {with_stores("s: {}"), "5:6 \"type\" is missing here; write memory or redis\n"},
      {with_stores("s: {address: [\"127.0.0.1:1\"]}"), "5:6 \"type\" is missing here; write memory or redis\n"},
      {with_stores("s: {type: rediss}"),
       "5:13 type: \"rediss\" is not known; it must be memory or redis; did you mean \"redis\"?\n"},
      {with_stores("s: {type: memory}\n  s: {type: memory}"), "6:3 \"s\" is given twice; first in line 5\n"},
  });
}

TEST_CASE("each key belongs to one type of store") {
  check_all({
      {with_stores("s: {type: memory, address: [\"127.0.0.1:1\"], db: 1, adress: 1}"),
       "5:21 \"address\" is a key of stores of type redis\n"
       "5:47 \"db\" is a key of stores of type redis\n"
       "5:54 unknown key \"adress\"; did you mean \"address\"?\n"},
      {with_stores("s: {type: redis, address: [\"127.0.0.1:1\"], max_bytes: 1MiB}"),
       "5:46 \"max_bytes\" is a key of stores of type memory\n"},
  });
}

TEST_CASE("sizes, numbers and times of stores have bounds") {
  check_all({
      {with_stores("s: {type: memory, max_bytes: 1023KiB}"),
       "5:32 max_bytes: \"1023KiB\" is out of range; it must be 1MiB to 1024GiB\n"},
      {with_stores("s: {type: redis, address: [\"127.0.0.1:1\"], connections: 0, timeout: 0, db: -1}"),
       "5:59 connections: \"0\" is out of range; it must be 1 to 64\n"
       "5:71 timeout: \"0\" is out of range; it must be 1ms to 1m\n"
       "5:78 db: \"-1\" is not a number; write a whole number\n"},
  });
}

TEST_CASE("a Redis store needs addresses that can be connected to, and that differ") {
  const std::string needed = "store \"s\" needs an address; write [\"127.0.0.1:6379\"]\n";
  check_all({
      {with_stores("s: {type: redis}"), "5:6 " + needed},
      {with_stores("s: {type: redis, address: []}"), "5:29 " + needed},
      {with_stores("s: {type: redis, address: }"), "5:20 " + needed},
      {with_stores("s: {type: redis, address: 127.0.0.1:6379}"),
       "5:29 address: a list is expected; write [127.0.0.1:6379]\n"},
      {with_stores("s: {type: redis, address: [\"127.0.0.1\"]}"),
       "5:30 \"127.0.0.1\" is not an address; write 127.0.0.1:9001, [::1]:9001, app.internal:9001 or "
       "unix:/run/app.sock\n"},
      {with_stores("s: {type: redis, mode: cluster, address: [\"a.test:1\", \"127.0.0.1:1\", \"A.test:1\"]}"),
       "5:72 a.test:1 is already an address of \"s\", at x.yaml:5\n"},
      {with_stores("s: {type: redis, address: [\"a.test:1\", \"b.test:1\"]}"),
       "5:42 several addresses are possible with mode sentinel and cluster only\n"},
      {with_stores("s: {type: redis, mode: cluster, address: [\"unix:/x\"]}"),
       "5:45 a unix socket is possible with mode single only\n"},
  });
}

TEST_CASE("what belongs to one mode of Redis is refused with the others") {
  const std::string head = "s: {type: redis, address: [\"127.0.0.1:1\"], ";
  check_all({
      {with_stores(head + "mode: sentinel}"),
       "5:46 mode sentinel needs \"master_name\", what the sentinels call the master\n"},
      {with_stores(head + "mode: sentinel, master_name: m, db: 1}"), ""},
      {with_stores(head + "master_name: m}"), "5:46 \"master_name\" is used with mode sentinel only\n"},
      {with_stores(head + "mode: cluster, db: 1}"), "5:61 a Redis Cluster has the database 0 only\n"},
      {with_stores(head + "mode: cluster, db: 0}"), ""},
      {with_stores(head + "username: u}"), "5:46 \"username\" is used with \"password_file\" only\n"},
      {with_stores(head + "mode: clustr}"),
       "5:52 mode: \"clustr\" is not known; it must be single, sentinel or cluster; did you mean \"cluster\"?\n"},
  });
}

TEST_CASE("the password is one line of a file, and never shown") {
  const TemporaryFolder folder;
  const std::string head = "s: {type: redis, address: [\"127.0.0.1:1\"], password_file: ";
  const auto messages = [&](const std::string& file) {
    const auto result = compile_file(folder.write("x.yaml", with_stores(head + file + "}")));
    if (result.snapshot != nullptr) CHECK_THAT(result.snapshot->redacted_yaml, !Catch::Contains("hunter2"));
    const std::string text = messages_of(result.errors);
    CHECK_THAT(text, !Catch::Contains("hunter2"));
    return text;
  };
  folder.write("good", "hunter2");
  CHECK(messages("good").empty());
  folder.write("empty", "\n");
  CHECK(messages("empty") == "5:61 password_file: " + folder / "empty" + " must hold a password in one line\n");
  folder.write("two", "hunter2\nhunter2\n");
  CHECK(messages("two") == "5:61 password_file: " + folder / "two" + " must hold a password in one line\n");
  CHECK(messages("none") == "5:61 password_file: cannot read " + folder / "none" + ": No such file or directory\n");
}

namespace {
/// Files for TLS, as they are named in the tests' configurations.
void write_pems(const TemporaryFolder& folder) {
  const auto authority = tls::test::make_authority("authority");
  const auto ours = tls::test::make_identity("ours", {.signer = &authority});
  const auto other = tls::test::make_identity("other", {.signer = &authority});
  folder.write("ca.pem", authority.certificate_pem());
  folder.write("cert.pem", ours.certificate_pem());
  folder.write("key.pem", ours.key_pem());
  folder.write("other.key", other.key_pem());
  folder.write("empty.pem", "");
}

std::string redis_with(const std::string& rest) {
  return with_stores("s: {type: redis, address: [\"127.0.0.1:1\"], " + rest + "}");
}
}  // namespace

TEST_CASE("a Redis store with TLS knows its files' contents, and is another one when they change") {
  const TemporaryFolder folder;
  write_pems(folder);
  const auto path = folder.write(
      "x.yaml",
      redis_with(
          "required: true, tls: {ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem, server_name: r.test}"));
  const CompileResult result = compile_file(path);
  const StoreSpec store = only_store(result);
  CHECK(store.required);
  REQUIRE(store.redis.tls);
  CHECK(store.redis.tls->context != nullptr);
  CHECK(store.redis.tls->server_name == "r.test");
  CHECK(store.redis.tls->verify);
  CHECK_THAT(messages_of(result.warnings), !Catch::Contains("verify"));
  for (const char* file : {"ca.pem", "cert.pem", "key.pem"}) CHECK(result.certificates.files().contains(folder / file));
  CHECK(store == only_store(compile_file(path)));
  CHECK(changed_contents(*result.snapshot, *compile_file(path).snapshot).empty());
  folder.write("ca.pem", tls::test::make_authority("another").certificate_pem());
  const CompileResult later = compile_file(path);
  CHECK_FALSE(store == only_store(later));
  CHECK(changed_contents(*result.snapshot, *later.snapshot) ==
        std::vector<std::string>{"store \"s\": tls.ca_file: it holds other certificates"});
}

TEST_CASE("whose name the servers' certificates must have") {
  const auto name_of = [](const std::string& rest) {
    const auto tls = only_store(compile_text(with_stores("s: {type: redis, tls: {}, " + rest + "}"), "x")).redis.tls;
    REQUIRE(tls);
    return tls->server_name;
  };
  CHECK(name_of("address: [\"redis.internal:6379\"]") == "redis.internal");
  CHECK(name_of("address: [\"127.0.0.1:6379\"]").empty());
  CHECK(name_of("mode: cluster, address: [\"redis.internal:6379\"]").empty());
}

TEST_CASE("what cannot be used for TLS is named with its place; not to verify is warned of") {
  const TemporaryFolder folder;
  write_pems(folder);
  const auto messages = [&](const std::string& tls) {
    return messages_of(compile_file(folder.write("x.yaml", redis_with("tls: {" + tls + "}"))).errors);
  };
  CHECK(messages("ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem").empty());
  CHECK(messages("ca_file: none") == "5:61 ca_file: cannot read " + folder / "none" + ": No such file or directory\n");
  CHECK(messages("ca_file: key.pem") ==
        "5:61 ca_file: " + folder / "key.pem" + " cannot be used: there is no certificate in it\n");
  CHECK(messages("ca_file: empty.pem") ==
        "5:61 ca_file: " + folder / "empty.pem" + " cannot be used: there is no certificate in it\n");
  CHECK(messages("cert_file: empty.pem, key_file: key.pem") ==
        "5:63 cert_file: " + folder / "empty.pem" + " cannot be used: there is no certificate in it\n");
  CHECK(messages("cert_file: cert.pem, key_file: other.key") ==
        "5:83 key_file: " + folder / "other.key" + " cannot be used: the key does not belong to the certificate\n");
  CHECK(messages("cert_file: cert.pem") == "5:63 \"cert_file\" and \"key_file\" belong together\n");
  CHECK(messages("key_file: key.pem") == "5:62 \"cert_file\" and \"key_file\" belong together\n");
  CHECK(messages("verify: maybe") == "5:60 verify: \"maybe\" is not a boolean; write true or false\n");
  CHECK(messages("server_name: Redis_1.test").empty());
  CHECK(messages("server_name: \"::1\"").empty());
  for (const std::string name : {"*.test", "a b", "a..b", "127.1", "::g", "a:1"}) {
    CHECK(messages("server_name: \"" + name + "\"") ==
          "5:65 server_name: \"" + name + "\" is neither a host name nor an IP address\n");
  }
  CHECK_FALSE(messages("server_name: \"\\0\"").empty());  // to OpenSSL that is any name
  CHECK_FALSE(messages("server_name: " + std::string(300, 'a')).empty());
  const auto careless = compile_file(folder.write("x.yaml", redis_with("tls: {verify: false}")));
  CHECK(messages_of(careless.errors).empty());
  CHECK_THAT(messages_of(careless.warnings),
             Catch::Contains(
                 "5:52 verify: false: the servers' certificates are not looked at, so anybody may pose as them\n"));
  check_all({
      {with_stores("s: {type: redis, address: [\"unix:/x\"], tls: {}}"),
       "5:47 TLS is not possible over a unix socket\n"},
      {with_stores("s: {type: memory, tls: {}, required: true}"),
       "5:21 \"tls\" is a key of stores of type redis\n5:30 \"required\" is a key of stores of type redis\n"},
      {redis_with("tls: true"), ""},
      {redis_with("tls: maybe"), "5:51 enabled: \"maybe\" is not a boolean; write true or false\n"},
      {redis_with("tls: [true]"), "5:51 a map with keys is expected here, not a list\n"},
  });
}

TEST_CASE("stores of included files are added") {
  const TemporaryFolder folder;
  folder.write("more.yaml", "stores: {b: {type: memory}}\n");
  const auto path = folder.write("x.yaml", with("include: more.yaml\nstores: {a: {type: memory}}\n"));
  const auto result = compile_file(path);
  REQUIRE(messages_of(result.errors).empty());
  REQUIRE(result.snapshot->stores.size() == 2);
  CHECK(result.snapshot->stores[1].name == "b");
}

#include "store/redis_protocol.h"

#include <catch2/catch.hpp>

#include "store/redis_operations.h"

using namespace sluice;
using namespace sluice::store;
using namespace std::string_literals;

namespace {
// What a reader makes of bytes, as text: "status:OK", "array:2 integer:1 nil".
std::string read(std::string_view bytes, size_t piece = std::string_view::npos) {
  ReplyReader reader;
  std::string text;
  while (!bytes.empty()) {
    reader.feed(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    while (const Reply* reply = reader.next()) {
      constexpr const char* kNames[] = {"status", "error", "integer", "nil", "string", "array"};
      for (const Reply::Value& value : reply->values()) {
        if (!text.empty()) text += ' ';
        text += kNames[static_cast<size_t>(value.type)];
        if (value.type == Reply::Type::integer || value.type == Reply::Type::array) {
          text += ':' + std::to_string(value.integer);
        } else if (value.type != Reply::Type::nil) {
          text += ':' + std::string(reply->text_of(value));
        }
      }
    }
  }
  return reader.broken() ? text + " broken" : text;
}
}  // namespace

TEST_CASE("a command is an array of strings, which may hold any bytes", "[redis]") {
  std::string out;
  CommandWriter(out, 4) << "SET" << std::string_view("k\0\r\n", 4) << "" << int64_t{-120};
  CHECK(out == "*4\r\n$3\r\nSET\r\n$4\r\nk\0\r\n\r\n$0\r\n\r\n$4\r\n-120\r\n"s);
}

TEST_CASE("a key's slot is the CRC16 of it, or of its first tag that is not empty", "[redis]") {
  // The check value of CRC16/XMODEM stands in the specification of Redis Cluster; the slots were asked of redis-server 7.0
  // by CLUSTER KEYSLOT.
  CHECK(slot_of("123456789") == 0x31C3 % kSlots);
  CHECK(slot_of("") == 0);
  CHECK(slot_of("foo") == 12182);
  CHECK(slot_of("{user1000}.following") == slot_of("user1000"));
  CHECK(slot_of("{user1000}.following") == 3443);
  CHECK(slot_of("foo{}{bar}") == 8363);
  CHECK(slot_of("foo{{bar}}zap") == slot_of("{bar"));
  CHECK(slot_of("foo{bar}{zap}") == slot_of("bar"));
  CHECK(slot_of("foo{bar") == 15278);
}

TEST_CASE("replies come out as they went in, in whatever pieces they arrive", "[redis]") {
  constexpr std::string_view kBytes =
      "+OK\r\n-ERR no\r\n:-7\r\n$-1\r\n$5\r\nab\r\nc\r\n$0\r\n\r\n*-1\r\n*0\r\n*2\r\n*1\r\n:1\r\n$-1\r\n";
  constexpr std::string_view kText =
      "status:OK error:ERR no integer:-7 nil string:ab\r\nc string: nil array:0 array:2 array:1 integer:1 nil";
  CHECK(read(kBytes) == kText);
  CHECK(read(kBytes, 1) == kText);
  CHECK(read(kBytes, 7) == kText);
}

TEST_CASE("what is no reply breaks the reader, and nothing after it is read", "[redis]") {
  CHECK(read("HTTP/1.1 400 Bad Request\r\n\r\n") == " broken");
  CHECK(read("+OK\r\n?\r\n+OK\r\n") == "status:OK broken");
  CHECK(read(":12x\r\n") == " broken");
  CHECK(read("$-2\r\n") == " broken");
  CHECK(read("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n") == " broken");  // nested too deep
}

TEST_CASE("a reply that never ends breaks the reader long before memory does", "[redis]") {
  ReplyReader reader;
  const std::string line(ReplyReader::kMaxLineBytes / 2, 'x');
  reader.feed("+");
  size_t fed = 0;
  for (; !reader.broken() && fed < 10 * ReplyReader::kMaxLineBytes; fed += line.size()) {
    reader.feed(line);
    CHECK(reader.next() == nullptr);
  }
  CHECK(fed <= 2 * ReplyReader::kMaxLineBytes);

  reader.reset();
  reader.feed("$2000000000\r\n");
  const std::string piece(size_t{1} << 20, 'x');
  for (fed = 0; !reader.broken() && fed < 2 * kMaxValueBytes; fed += piece.size()) {
    CHECK(reader.next() == nullptr);
    reader.feed(piece);
  }
  CHECK(fed <= kMaxValueBytes + 3 * piece.size());

  CHECK(read("$" + std::string(64, '1')) == " broken");
}

TEST_CASE("the largest value that is allowed comes through", "[redis]") {
  ReplyReader reader;
  reader.feed("$" + std::to_string(kMaxValueBytes) + "\r\n");
  reader.feed(std::string(kMaxValueBytes, 'v'));
  CHECK(reader.next() == nullptr);
  reader.feed("\r\n+OK\r\n");
  const Reply* reply = reader.next();
  REQUIRE(reply != nullptr);
  CHECK(reply->text().size() == kMaxValueBytes);
  reply = reader.next();
  REQUIRE(reply != nullptr);
  CHECK(reply->text() == "OK");
}

TEST_CASE("a redirection names a slot and a server, as Redis writes them", "[redis]") {
  const SocketAddress asked = *SocketAddress::parse("127.0.0.1:7000");
  const auto moved = parse_redirection("MOVED 3999 127.0.0.1:6381", asked);
  REQUIRE(moved);
  CHECK_FALSE(moved->ask);
  CHECK(moved->slot == 3999);
  CHECK(moved->address.to_string() == "127.0.0.1:6381");

  CHECK(parse_redirection("ASK 3999 ::1:6381", asked)->address.to_string() == "[::1]:6381");
  CHECK(parse_redirection("ASK 3999 ::1:6381", asked)->ask);
  CHECK(parse_redirection("MOVED 1 :6381", asked)->address.to_string() == "127.0.0.1:6381");

  for (const std::string_view wrong :
       {"MOVED", "MOVED ", "MOVED 16384 127.0.0.1:1", "MOVED x 127.0.0.1:1", "MOVED 1 127.0.0.1", "MOVED 1 127.0.0.1:0",
        "MOVED 1 127.0.0.1:65536", "MOVED 1 somewhere:1", "ASKING 1 127.0.0.1:1", "ERR"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_redirection(wrong, asked));
  }
}

TEST_CASE("each operation is one command", "[redis]") {
  const auto bytes_of = [](const Command& command) {
    std::string out;
    append_command(out, command, {});
    for (char& c : out) {
      if (c == '\r') c = ' ';
    }
    std::erase(out, '\n');
    return out;
  };
  CHECK(bytes_of({.operation = Operation::get, .key = "k"}) == "*2 $3 GET $1 k ");
  CHECK(bytes_of({.operation = Operation::touch, .key = "k", .ttl = Millis(5)}) == "*4 $5 GETEX $1 k $2 PX $1 5 ");
  CHECK(bytes_of({.operation = Operation::put, .key = "k", .value = "v", .ttl = Millis(5)}) ==
        "*5 $3 SET $1 k $1 v $2 PX $1 5 ");
  CHECK(bytes_of({.operation = Operation::put_if_absent, .key = "k", .value = "v", .ttl = Millis(5)}) ==
        "*7 $3 SET $1 k $1 v $2 PX $1 5 $2 NX $3 GET ");
  CHECK(bytes_of({.operation = Operation::remove, .key = "k"}) == "*2 $3 DEL $1 k ");
}

TEST_CASE("a script is called by its digest, and with its text when Redis has forgotten it", "[redis]") {
  ScriptDigests digests;
  digests.fill(std::string(40, 'd'));
  for (const Operation operation : {Operation::replace_if, Operation::remove_if, Operation::take, Operation::add}) {
    const Command command{.operation = operation, .key = "k", .value = "v", .expected = "e", .ttl = Millis(5)};
    std::string by_digest, by_text;
    append_command(by_digest, command, digests);
    append_command(by_text, command, {});
    CHECK(by_digest.find("EVALSHA") != std::string::npos);
    CHECK(by_digest.size() < 160);
    CHECK(with_script_text(by_digest, operation) == by_text);
    CHECK_FALSE(with_script_text(by_text, operation));
  }
}

TEST_CASE("what Redis could not do exactly is not asked of it", "[redis]") {
  const auto take = [](Rate rate) { return is_possible({.operation = Operation::take, .key = "k", .rate = rate}); };
  CHECK(take({.units = 100, .period = Micros(1'000'000), .burst = 1000}));
  CHECK_FALSE(take({.units = 0}));
  CHECK_FALSE(take({.burst = 0}));
  CHECK_FALSE(take({.period = Micros(0)}));
  CHECK(take({.period = Micros(86'400'000'000), .burst = 50'000}));
  CHECK_FALSE(take({.period = Micros(86'400'000'000), .burst = 60'000}));
  CHECK_FALSE(is_possible({.operation = Operation::put, .key = "k"}));  // no time to live
  CHECK(is_possible({.operation = Operation::put, .key = "k", .ttl = Millis(1)}));
  const std::string long_key(kMaxKeyBytes + 1, 'k');
  CHECK_FALSE(is_possible({.key = long_key}));
  CHECK(is_possible({.key = std::string_view(long_key).substr(1)}));
}

TEST_CASE("an error says whether the operation was refused, or is only impossible now", "[redis]") {
  const auto reason_of = [](std::string_view error) {
    ReplyReader reader;
    reader.feed("-" + std::string(error) + "\r\n");
    const auto outcome = outcome_of(Operation::get, *reader.next());
    CHECK(outcome->kind == Outcome::Kind::failed);
    return outcome->reason;
  };
  CHECK(reason_of("ERR syntax error") == Reason::store_refused);
  CHECK(reason_of("WRONGTYPE Operation against a key") == Reason::store_refused);
  CHECK(reason_of("NOPERM this user has no permissions") == Reason::store_refused);
  CHECK(reason_of("OOM command not allowed when used memory > 'maxmemory'.") == Reason::store_full);
  CHECK(reason_of("LOADING Redis is loading the dataset in memory") == Reason::store_unavailable);
  CHECK(reason_of("READONLY You can't write against a read only replica.") == Reason::store_unavailable);
  CHECK(reason_of("CLUSTERDOWN The cluster is down") == Reason::store_unavailable);
}

TEST_CASE("a reply that does not fit its command is no outcome", "[redis]") {
  const auto fits = [](Operation operation, std::string_view bytes) {
    ReplyReader reader;
    reader.feed(bytes);
    return outcome_of(operation, *reader.next()).has_value();
  };
  CHECK(fits(Operation::get, "$1\r\nv\r\n"));
  CHECK_FALSE(fits(Operation::get, ":1\r\n"));
  CHECK_FALSE(fits(Operation::put, "$1\r\nv\r\n"));
  CHECK_FALSE(fits(Operation::remove, "+OK\r\n"));
  CHECK_FALSE(fits(Operation::replace_if, ":2\r\n"));
  CHECK(fits(Operation::take, "*4\r\n:1\r\n:0\r\n:0\r\n:5\r\n"));
  CHECK_FALSE(fits(Operation::take, "*4\r\n:1\r\n:0\r\n:0\r\n$1\r\n5\r\n"));
  CHECK_FALSE(fits(Operation::take, "*4\r\n:1\r\n:-1\r\n:0\r\n:5\r\n"));
  CHECK_FALSE(fits(Operation::take, "*3\r\n:1\r\n:0\r\n:0\r\n"));
  CHECK(fits(Operation::add, "$2\r\n-5\r\n"));
  CHECK_FALSE(fits(Operation::add, "$2\r\n5x\r\n"));
}

#include "store/redis_operations.h"

#include <charconv>

#include "base/assert.h"

namespace sluice::store {

namespace {

// Scripts answer nil for absent, a string for what is there instead, 1 for done.
constexpr std::string_view kReplaceIf = R"(local there = redis.call('GET', KEYS[1])
if not there then return false end
if string.sub(there, 1, #ARGV[1]) ~= ARGV[1] then return there end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1)";

constexpr std::string_view kRemoveIf = R"(local there = redis.call('GET', KEYS[1])
if not there then return false end
if string.sub(there, 1, #ARGV[1]) ~= ARGV[1] then return there end
redis.call('DEL', KEYS[1])
return 1)";

// GCRA as a leaky bucket with continuous state (ITU-T I.371, annex A: the same as virtual scheduling), in integers: the
// debt is what was taken and has not come back yet, in microseconds times units, so that no rate has a fraction. Each unit
// costs `period` and `units` come back each microsecond. Stored: the debt, and when it was that. Redis's own clock, so that
// all gateways share one; should it go backwards, nothing comes back meanwhile. A rate that was lowered since finds a full debt at
// the most.
constexpr std::string_view kTake =
    R"(local units, period, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local debt = 0
local there = redis.call('GET', KEYS[1])
if there then
  local was, at = string.match(there, '^(%d+) (%d+)$')
  if not was then return redis.error_reply('ERR the key does not hold a rate') end
  local passed = math.max(now - at, 0)
  debt = math.min(tonumber(was), limit)
  if passed * units >= debt then debt = 0 else debt = debt - passed * units end
end
local retry, allowed = math.ceil((debt + period - limit) / units), 0
if debt + period <= limit then
  retry, allowed, debt = 0, 1, debt + period
end
local reset = math.ceil(debt / units)
if allowed == 1 then
  redis.call('SET', KEYS[1], string.format('%.0f %.0f', debt, now), 'PX', math.ceil(reset / 1000))
end
return {allowed, math.floor((limit - debt) / period), retry, reset})";

// The sum as text: a Lua number holds 53 bits of it only.
constexpr std::string_view kAdd = R"(redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) == -1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1]))";

constexpr std::array<std::string_view, kScripts> kTexts = {kReplaceIf, kRemoveIf, kTake, kAdd};

std::optional<size_t> script_of(Operation operation) {
  switch (operation) {
    case Operation::replace_if: return 0;
    case Operation::remove_if: return 1;
    case Operation::take: return 2;
    case Operation::add: return 3;
    default: return {};
  }
}

// EVALSHA digest 1 key ..., or EVAL text 1 key ... The count of arguments is one digit, so what stands before the key has
// one length: with_script_text() relies on that.
constexpr std::string_view kCallByDigest = "\r\n$7\r\nEVALSHA\r\n$40\r\n";
constexpr size_t kCallHeadBytes = 2 + kCallByDigest.size() + 40 + 2;

CommandWriter call_script(std::string& out, const Command& command, const ScriptDigests& digests, size_t arguments) {
  const size_t number = *script_of(command.operation);
  CommandWriter writer(out, 4 + arguments);
  if (digests[number].empty()) {
    writer << "EVAL" << kTexts[number];
  } else {
    writer << "EVALSHA" << digests[number];
  }
  writer << "1" << command.key;
  return writer;
}

Outcome failed(Reason reason) { return {.kind = Outcome::Kind::failed, .reason = reason}; }

// Errors that Redis gives before it begins, because of its own state and not of the command.
bool is_passing(std::string_view error) {
  for (const std::string_view word : {"LOADING ", "READONLY ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "BUSY ",
                                      "NOREPLICAS ", "MOVED ", "ASK ", "NOSCRIPT "}) {
    if (error.starts_with(word)) return true;
  }
  return false;
}

Outcome error_outcome(std::string_view error) {
  if (error.starts_with("OOM ")) return failed(Reason::store_full);
  return failed(is_passing(error) ? Reason::store_unavailable : Reason::store_refused);
}

std::optional<Outcome> take_outcome(const Reply& reply) {
  const auto& values = reply.values();
  if (values.size() != 5 || reply.type() != Reply::Type::array) return {};
  for (size_t i = 1; i < 5; ++i) {
    if (values[i].type != Reply::Type::integer || values[i].integer < 0) return {};
  }
  if (values[1].integer > 1 || values[2].integer > UINT32_MAX) return {};
  return Outcome{.kind = values[1].integer == 1 ? Outcome::Kind::done : Outcome::Kind::refused,
                 .remaining = static_cast<uint32_t>(values[2].integer),
                 .retry_after = Micros(values[3].integer),
                 .reset_after = Micros(values[4].integer)};
}

std::optional<Outcome> add_outcome(const Reply& reply) {
  if (reply.type() != Reply::Type::string) return {};
  Outcome outcome{.kind = Outcome::Kind::done};
  const std::string_view text = reply.text();
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), outcome.sum);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return {};
  return outcome;
}

}  // namespace

std::string_view script(size_t number) { return kTexts[number]; }

bool is_possible(const Command& command) {
  if (!is_valid(command)) return false;
  if (command.value.size() > kMaxValueBytes || command.expected.size() > kMaxValueBytes) return false;
  return command.operation != Operation::take || command.rate.period.count() < kMaxRate / command.rate.burst;
}

void append_command(std::string& out, const Command& command, const ScriptDigests& digests) {
  const std::string_view key = command.key;
  const int64_t ttl = command.ttl.count();
  switch (command.operation) {
    case Operation::get: CommandWriter(out, 2) << "GET" << key; return;
    case Operation::touch: CommandWriter(out, 4) << "GETEX" << key << "PX" << ttl; return;
    case Operation::put: CommandWriter(out, 5) << "SET" << key << command.value << "PX" << ttl; return;
    case Operation::put_if_absent:
      CommandWriter(out, 7) << "SET" << key << command.value << "PX" << ttl << "NX"
                            << "GET";
      return;
    case Operation::replace_if:
      call_script(out, command, digests, 3) << command.expected << command.value << ttl;
      return;
    case Operation::remove_if: call_script(out, command, digests, 1) << command.expected; return;
    case Operation::remove: CommandWriter(out, 2) << "DEL" << key; return;
    case Operation::take: {
      const int64_t period = command.rate.period.count();
      call_script(out, command, digests, 3) << int64_t{command.rate.units} << period << period * command.rate.burst;
      return;
    }
    case Operation::add: call_script(out, command, digests, 2) << command.amount << ttl; return;
  }
}

std::optional<std::string> with_script_text(std::string_view bytes, Operation operation) {
  const std::optional<size_t> number = script_of(operation);
  if (!number || bytes.size() < kCallHeadBytes || bytes.substr(2, kCallByDigest.size()) != kCallByDigest) return {};
  std::string result;
  CommandWriter(result, static_cast<size_t>(bytes[1] - '0')) << "EVAL" << kTexts[*number];
  result.append(bytes.substr(kCallHeadBytes));
  return result;
}

std::optional<Outcome> outcome_of(Operation operation, const Reply& reply) {
  using Kind = Outcome::Kind;
  const Reply::Type type = reply.type();
  if (type == Reply::Type::error) return error_outcome(reply.text());
  switch (operation) {
    case Operation::get:
    case Operation::touch:
      if (type == Reply::Type::nil) return Outcome{.kind = Kind::absent};
      if (type == Reply::Type::string) return Outcome{.kind = Kind::found, .value = reply.text()};
      return {};
    case Operation::put:
      if (type == Reply::Type::status) return Outcome{.kind = Kind::done};
      return {};
    case Operation::put_if_absent:
      if (type == Reply::Type::nil) return Outcome{.kind = Kind::done};
      if (type == Reply::Type::string) return Outcome{.kind = Kind::found, .value = reply.text()};
      return {};
    case Operation::replace_if:
    case Operation::remove_if:
      if (type == Reply::Type::nil) return Outcome{.kind = Kind::absent};
      if (type == Reply::Type::string) return Outcome{.kind = Kind::found, .value = reply.text()};
      if (type == Reply::Type::integer && reply.integer() == 1) return Outcome{.kind = Kind::done};
      return {};
    case Operation::remove:
      if (type == Reply::Type::integer) return Outcome{.kind = reply.integer() > 0 ? Kind::done : Kind::absent};
      return {};
    case Operation::take: return take_outcome(reply);
    case Operation::add: return add_outcome(reply);
  }
  return {};
}

}  // namespace sluice::store

// What each operation of a store is in Redis: which command asks for it, and what the reply means. Pure functions.
// replace_if, remove_if, take and add are Lua scripts on one key, so each is atomic and one round trip.
//
// Redis 7.0 or later. An ACL user needs GET, GETEX, SET, DEL, INCRBY, PTTL, PEXPIRE, TIME, EVAL and EVALSHA on its keys; SCRIPT
// LOAD spares sending scripts whole; SELECT if there is a db, CLUSTER SLOTS and ASKING in a cluster.
// Each new connection reads the key "sluice", to see that it is served; that the ACL refuses it is an answer too.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "store/redis_protocol.h"
#include "store/store.h"

namespace sluice::store {

/// The scripts, by number; Redis calls them by the SHA-1 of their text, which it tells when it loads them.
constexpr size_t kScripts = 4;
[[nodiscard]] std::string_view script(size_t number);
/// Each script's digest, 40 hexadecimal digits; empty while it is not known: then the whole text is sent.
using ScriptDigests = std::array<std::string, kScripts>;

/// False if Redis could not carry the command out exactly: a key or value too long, no time to live, or a rate whose
/// arithmetic would leave the 53 bits of a Lua number (kMaxRate).
[[nodiscard]] bool is_possible(const Command& command);
/// burst * period in microseconds, and units, stay below this.
constexpr int64_t kMaxRate = int64_t{1} << 52;

void append_command(std::string& out, const Command& command, const ScriptDigests& digests);
/// The same command, whose script Redis has forgotten, with the script's text instead of its digest. Nothing if `bytes` call
/// no script by digest.
[[nodiscard]] std::optional<std::string> with_script_text(std::string_view bytes, Operation operation);

/// What a reply means for the operation that it answers; nothing if no Redis answers so. Views of `reply`. An error is an
/// Outcome::failed whose reason says whether the operation was carried out.
[[nodiscard]] std::optional<Outcome> outcome_of(Operation operation, const Reply& reply);

}  // namespace sluice::store

// BlockPool, Arena, Buffer and Slab: who borrows memory, and that all of it comes back.
#include <catch2/catch.hpp>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/block_pool.h"
#include "base/buffer.h"
#include "base/slab.h"

using namespace sluice;

TEST_CASE("a pool lends the smallest size that fits", "[block_pool]") {
  BlockPool pool;
  for (const size_t wanted : {1u, 4096u, 4097u, 16384u, 65536u, 69632u, 69633u, 262144u}) {
    const Block block = pool.take(wanted);
    CAPTURE(wanted);
    CHECK(block.bytes >= wanted);
    for (const uint32_t size : BlockPool::kSizes) CHECK_FALSE((size >= wanted && size < block.bytes));
    pool.give_back(block);
  }
  CHECK(pool.lent_blocks() == 0);
}

TEST_CASE("a block given back is lent again before the system is asked", "[block_pool]") {
  BlockPool pool;
  const Block first = pool.take(100);
  pool.give_back(first);
  CHECK(pool.chunks() == 1);
  const Block second = pool.take(4000);
  CHECK(second.data == first.data);
  CHECK(pool.chunks() == 1);
  pool.give_back(second);
}

TEST_CASE("a sweep reaches blocks of all sizes", "[block_pool]") {
  BlockPool pool;
  for (const uint32_t size : BlockPool::kSizes) pool.give_back(pool.take(size));
  CHECK(pool.chunks() == BlockPool::kSizes.size());
  size_t budget = 100;
  pool.sweep(MonoTime{}, budget);
  pool.sweep(MonoTime{} + CellPool::kKeep, budget);
  CHECK(pool.chunks() == 0);
  CHECK(budget == 100 - BlockPool::kSizes.size());
}

TEST_CASE("an arena's pieces are aligned, apart from each other, and live until reset", "[arena]") {
  BlockPool pool;
  Arena arena(pool);
  std::vector<std::pair<char*, size_t>> pieces;
  for (size_t bytes = 1; bytes < 6000; bytes = bytes * 3 / 2 + 1) {
    char* at = arena.allocate(bytes);
    CHECK(reinterpret_cast<uintptr_t>(at) % 8 == 0);
    std::memset(at, static_cast<int>(pieces.size()), bytes);
    pieces.emplace_back(at, bytes);
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    for (size_t j = 0; j < pieces[i].second; ++j) REQUIRE(pieces[i].first[j] == static_cast<char>(i));
  }
  CHECK(pool.lent_blocks() > 1);
  arena.reset();
  CHECK(pool.lent_blocks() == 0);
  CHECK(arena.copy("again") == "again");
}

TEST_CASE("an arena owns nothing before its first piece and gives back everything when it dies", "[arena]") {
  BlockPool pool;
  {
    Arena arena(pool);
    CHECK(pool.lent_blocks() == 0);
    CHECK(arena.copy("").empty());
    CHECK(pool.lent_blocks() == 0);
    CHECK(arena.allocate_array<uint64_t>(4).size() == 4);
    CHECK(pool.lent_blocks() == 1);
  }
  CHECK(pool.lent_blocks() == 0);
}

TEST_CASE("an arena takes one piece as large as the largest block allows", "[arena]") {
  BlockPool pool;
  Arena arena(pool);
  const size_t most = BlockPool::kSizes.back() - 16;
  std::memset(arena.allocate(most), 1, most);
  CHECK(pool.lent_blocks() == 1);
}

TEST_CASE("a buffer borrows memory only while it holds bytes", "[buffer]") {
  BlockPool pool;
  Buffer buffer(pool);
  CHECK(pool.lent_blocks() == 0);
  CHECK(buffer.empty());
  CHECK(buffer.view().empty());
  buffer.append("");
  CHECK(pool.lent_blocks() == 0);
  buffer.append("abc");
  CHECK(pool.lent_blocks() == 1);
  buffer.consume(3);
  CHECK(pool.lent_blocks() == 0);
}

TEST_CASE("a buffer can be filled to its bound", "[buffer]") {
  BlockPool pool;
  Buffer buffer(pool);
  const std::string piece(4096, 'x');
  while (buffer.room() >= piece.size()) buffer.append(piece);
  CHECK(buffer.size() == Buffer::kMaxBytes);
  CHECK(buffer.room() == 0);
  buffer.consume(1);
  buffer.append("y");
  CHECK(buffer.view().back() == 'y');
}

TEST_CASE("a buffer agrees with a string under random appends and consumes", "[buffer]") {
  const unsigned seed = GENERATE(range(1u, 6u));
  std::mt19937 random(seed);
  BlockPool pool;
  Buffer buffer(pool);
  std::string model;
  for (int step = 0; step < 5000; ++step) {
    if (random() % 2 == 0) {
      const size_t count = std::min<size_t>(random() % 9000, buffer.room());
      const std::string piece(count, static_cast<char>('a' + step % 26));
      buffer.append(piece);
      model += piece;
    } else {
      const size_t count = std::min<size_t>(random() % 9000, model.size());
      buffer.consume(count);
      model.erase(0, count);
    }
    REQUIRE(buffer.size() == model.size());
    REQUIRE((buffer.view() == model));
    REQUIRE(pool.lent_blocks() == (model.empty() ? 0 : 1));
  }
}

namespace {
struct alignas(64) Counted {
  explicit Counted(int& alive_count) : alive(alive_count) { ++alive; }
  ~Counted() { --alive; }
  int& alive;
};
}  // namespace

TEST_CASE("a slab makes and destroys its objects and uses their memory again", "[slab]") {
  int alive = 0;
  Slab<Counted> slab;
  auto first = slab.make(alive);
  CHECK(alive == 1);
  CHECK(reinterpret_cast<uintptr_t>(first.get()) % 64 == 0);
  const void* where = first.get();
  first.reset();
  CHECK(alive == 0);
  auto second = slab.make(alive);
  CHECK(second.get() == where);
  CHECK(slab.live() == 1);
  slab.reclaim(second.release());
  CHECK(slab.live() == 0);
  CHECK(alive == 0);
}

TEST_CASE("a slab gives back what a peak has left", "[slab]") {
  int alive = 0;
  Slab<Counted> slab;
  std::vector<Slab<Counted>::Pointer> objects;
  for (int i = 0; i < 1000; ++i) objects.push_back(slab.make(alive));
  CHECK(slab.live() == 1000);
  CHECK(alive == 1000);
  objects.clear();
  CHECK(slab.live() == 0);
  CHECK(alive == 0);
  size_t budget = 100;
  slab.sweep(MonoTime{}, budget);
  slab.sweep(MonoTime{} + CellPool::kKeep, budget);
  CHECK(budget < 100);
}

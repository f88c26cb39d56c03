// CellPool: what is lent is apart and keeps its bytes; what a peak has left goes back, in bounded steps, and not too soon.
#include "base/cell_pool.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <vector>

using namespace sluice;

namespace {

constexpr size_t kPlenty = 1000;

// A pool and the clock of its sweeps, one a second.
struct Swept {
  explicit Swept(size_t cell_bytes) : pool(cell_bytes) {}

  void sweep(Micros after, size_t allowed = kPlenty) {
    now += after;
    size_t budget = allowed;
    pool.sweep(now, budget);
    released = allowed - budget;
  }
  void pass(Micros time) {
    for (Micros passed{}; passed < time; passed += Seconds(1)) sweep(Seconds(1));
  }
  std::vector<void*> take(size_t cells) {
    std::vector<void*> taken;
    for (size_t i = 0; i < cells; ++i) taken.push_back(pool.take());
    return taken;
  }
  void give_back(const std::vector<void*>& cells) {
    for (void* cell : cells) pool.give_back(cell);
  }

  CellPool pool;
  MonoTime now{};
  size_t released = 0;
};

}  // namespace

TEST_CASE("cells are apart from each other and aligned, whatever their size", "[cell_pool]") {
  const size_t bytes = GENERATE(1u, 24u, 400u, 4096u, 70000u);
  const size_t alignment = GENERATE(8u, 64u);
  CellPool pool(bytes, alignment);
  std::vector<char*> cells;
  for (size_t i = 0; i < 3 * pool.cells_per_chunk(); ++i) {
    cells.push_back(static_cast<char*>(pool.take()));
    REQUIRE(reinterpret_cast<uintptr_t>(cells.back()) % alignment == 0);
    std::memset(cells.back(), static_cast<int>(i), bytes);
  }
  CHECK(pool.chunks() == 3);
  for (size_t i = 0; i < cells.size(); ++i) {
    REQUIRE(std::all_of(cells[i], cells[i] + bytes, [i](char byte) { return byte == static_cast<char>(i); }));
    pool.give_back(cells[i]);
  }
}

TEST_CASE("the cell given back last is lent again first", "[cell_pool]") {
  CellPool pool(100);
  void* const first = pool.take();
  void* const second = pool.take();
  pool.give_back(first);
  pool.give_back(second);
  CHECK(pool.take() == second);
  CHECK(pool.take() == first);
  pool.give_back(first);
  pool.give_back(second);
}

TEST_CASE("cells come from the first chunk that has one", "[cell_pool]") {
  CellPool pool(1000);
  std::vector<void*> cells;
  while (pool.chunks() < 4) cells.push_back(pool.take());
  const size_t each = pool.cells_per_chunk();
  pool.give_back(cells[2 * each + 1]);
  pool.give_back(cells[each + 1]);
  pool.give_back(cells[3]);
  CHECK(pool.take() == cells[3]);
  CHECK(pool.take() == cells[each + 1]);
  CHECK(pool.take() == cells[2 * each + 1]);
  CHECK(pool.chunks() == 4);
  for (void* cell : cells) pool.give_back(cell);
}

TEST_CASE("after a peak the chunks go back, but not before ten seconds", "[cell_pool]") {
  Swept swept(400);
  const auto few = swept.take(1);
  const auto many = swept.take(100 * swept.pool.cells_per_chunk());
  CHECK(swept.pool.chunks() == 101);
  swept.pass(Seconds(30));
  CHECK(swept.pool.chunks() == 101);
  swept.give_back(many);
  swept.pass(Seconds(9));
  CHECK(swept.pool.chunks() == 101);
  swept.pass(Seconds(2));
  CHECK(swept.pool.chunks() == 1);
  swept.give_back(few);
  swept.pass(Seconds(12));
  CHECK(swept.pool.chunks() == 0);
}

TEST_CASE("what is needed again within ten seconds stays", "[cell_pool]") {
  Swept swept(400);
  const size_t cells = 5 * swept.pool.cells_per_chunk();
  for (int peak = 0; peak < 5; ++peak) {
    swept.give_back(swept.take(cells));
    CHECK(swept.pool.chunks() == 5);
    swept.pass(Seconds(8));
    CHECK(swept.pool.chunks() == 5);
  }
}

TEST_CASE("one cell that is taken and given back all the time keeps its chunk alone", "[cell_pool]") {
  Swept swept(400);
  swept.give_back(swept.take(3 * swept.pool.cells_per_chunk()));
  void* const where = swept.pool.take();
  swept.pool.give_back(where);
  for (int second = 0; second < 30; ++second) {
    void* const cell = swept.pool.take();
    CHECK(cell == where);
    swept.pool.give_back(cell);
    swept.sweep(Seconds(1));
  }
  CHECK(swept.pool.chunks() == 1);
}

TEST_CASE("a sweep gives back no more than its budget", "[cell_pool]") {
  Swept swept(400);
  swept.give_back(swept.take(20 * swept.pool.cells_per_chunk()));
  swept.sweep(Seconds(1));
  swept.sweep(Seconds(10), 8);
  CHECK(swept.released == 8);
  CHECK(swept.pool.chunks() == 12);
  swept.sweep(Millis(10), 8);
  CHECK(swept.pool.chunks() == 4);
  swept.sweep(Millis(10), 8);
  CHECK(swept.released == 4);
  CHECK(swept.pool.chunks() == 0);
}

TEST_CASE("who stays after a peak and came before it holds no chunk of the peak", "[cell_pool]") {
  Swept swept(400);
  const auto stay = swept.take(10);
  auto peak = swept.take(50 * swept.pool.cells_per_chunk());
  std::shuffle(peak.begin(), peak.end(), std::mt19937(1));
  swept.give_back(peak);
  swept.pass(Seconds(12));
  CHECK(swept.pool.chunks() == 1);
  swept.give_back(stay);
}

TEST_CASE("where connections come and go, the later chunks run empty", "[cell_pool]") {
  Swept swept(400);
  std::mt19937 random(1);
  auto held = swept.take(50 * swept.pool.cells_per_chunk());
  std::shuffle(held.begin(), held.end(), random);
  while (held.size() > 100) {
    swept.pool.give_back(held.back());
    held.pop_back();
  }
  CHECK(swept.pool.chunks() == 50);
  for (int second = 0; second < 60; ++second) {  // ten end, ten begin
    std::shuffle(held.begin(), held.end(), random);
    for (int i = 0; i < 10; ++i) swept.pool.give_back(held[static_cast<size_t>(i)]);
    for (int i = 0; i < 10; ++i) held[static_cast<size_t>(i)] = swept.pool.take();
    swept.sweep(Seconds(1));
  }
  CHECK(swept.pool.chunks() <= 5);
  swept.give_back(held);
}

TEST_CASE("a pool agrees with a set of cells under random steps", "[cell_pool]") {
  const unsigned seed = GENERATE(range(1u, 6u));
  std::mt19937 random(seed);
  Swept swept(2000);
  std::vector<unsigned*> held;
  for (unsigned step = 0; step < 20000; ++step) {
    const bool growing = step / 2000 % 2 == 0;
    if (held.empty() || random() % 10 < (growing ? 6u : 4u)) {
      held.push_back(static_cast<unsigned*>(swept.pool.take()));
      held.back()[0] = held.back()[499] = step;
    } else {
      const size_t which = random() % held.size();
      REQUIRE(held[which][0] == held[which][499]);
      swept.pool.give_back(std::exchange(held[which], held.back()));
      held.pop_back();
    }
    if (step % 50 == 0) swept.sweep(Seconds(random() % 5), random() % 3);
  }
  for (unsigned* cell : held) swept.pool.give_back(cell);
  swept.pass(Seconds(12));
  CHECK(swept.pool.chunks() == 0);
}

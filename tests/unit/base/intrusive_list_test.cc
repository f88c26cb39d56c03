#include "base/intrusive_list.h"

#include <catch2/catch.hpp>
#include <memory>
#include <vector>

using namespace sluice;

namespace {
struct FirstTag;
struct SecondTag;
struct Item : ListNode<FirstTag>, ListNode<SecondTag> {
  explicit Item(int its_number) : number(its_number) {}
  int number;
};
using First = IntrusiveList<Item, FirstTag>;
using Second = IntrusiveList<Item, SecondTag>;

std::vector<int> drain(First& list) {
  std::vector<int> numbers;
  while (!list.empty()) numbers.push_back(list.pop_front().number);
  return numbers;
}
}  // namespace

TEST_CASE("elements come out in order from the front", "[list]") {
  First list;
  Item a(1), b(2), c(3);
  list.push_back(b);
  list.push_back(c);
  list.push_front(a);
  CHECK(list.front().number == 1);
  CHECK(list.back().number == 3);
  CHECK(drain(list) == std::vector<int>{1, 2, 3});
  CHECK(list.empty());
}

TEST_CASE("an element leaves its list when it is destroyed", "[list]") {
  First list;
  Item a(1);
  auto b = std::make_unique<Item>(2);
  Item c(3);
  for (Item* item : {&a, b.get(), &c}) list.push_back(*item);
  b.reset();
  CHECK(drain(list) == std::vector<int>{1, 3});
}

TEST_CASE("an element is in one list per tag, and leaves each alone", "[list]") {
  First first;
  Second second;
  Item item(1);
  first.push_back(item);
  second.push_back(item);
  static_cast<ListNode<FirstTag>&>(item).unlink();
  static_cast<ListNode<FirstTag>&>(item).unlink();
  CHECK(first.empty());
  CHECK(&second.front() == &item);
}

TEST_CASE("a list that dies lets its elements go", "[list]") {
  Item item(1);
  {
    First list;
    list.push_back(item);
  }
  CHECK_FALSE(static_cast<ListNode<FirstTag>&>(item).linked());
  First other;
  other.push_back(item);
  CHECK(drain(other) == std::vector<int>{1});
}

TEST_CASE("take_all moves the elements behind those already there", "[list]") {
  First to, from;
  Item a(1), b(2), c(3);
  to.take_all(from);
  CHECK(to.empty());
  from.push_back(a);
  to.take_all(from);
  CHECK(from.empty());
  from.push_back(b);
  from.push_back(c);
  to.take_all(from);
  CHECK(from.empty());
  CHECK(drain(to) == std::vector<int>{1, 2, 3});
}

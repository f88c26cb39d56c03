// Templates that make a Binding out of member pointers, for the rows of schema.cc: into<&PoolSpec::max_open>
// reads a value into that member; several pointers in a row are followed one after the other.
#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <type_traits>

#include "control/section_reader.h"
#include "control/value_reader.h"
#include "control/values.h"

namespace sluice::control::bind {

template <typename T>
inline constexpr char kTypeTag = 0;  // its address identifies T

template <typename T>
constexpr OwnerType owned_by() {
  return {&kTypeTag<T>, [] { return std::static_pointer_cast<void>(std::make_shared<T>()); }};
}

template <typename>
struct MemberOf;
template <typename O, typename V>
struct MemberOf<V O::*> {
  using Owner = O;
};
template <auto Member>
using OwnerOf = typename MemberOf<decltype(Member)>::Owner;

template <auto First, auto... Rest, typename Owner>
constexpr auto& follow(Owner& owner) {
  if constexpr (sizeof...(Rest) == 0) {
    return owner.*First;
  } else {
    return follow<Rest...>(owner.*First);
  }
}

inline std::string show_value(const Row&, bool value) { return value ? "true" : "false"; }
inline std::string show_value(const Row&, double value) { return format_share(value); }
inline std::string show_value(const Row&, Millis value) { return format_duration(value); }
inline std::string show_value(const Row&, const std::string& value) { return value; }
std::string show_value(const Row& row, std::unsigned_integral auto value) {
  return row.type == Type::size ? format_size(value) : std::to_string(value);
}

/// One value into a member.
template <auto First, auto... Rest>
inline constexpr Binding into = {
    [](SectionReader& reader, const Row& row, Node& node, void* owner) {
      read_value(reader, row, node, follow<First, Rest...>(*static_cast<OwnerOf<First>*>(owner)));
    },
    [](const Row& row, const void* owner) {
      return show_value(row, follow<First, Rest...>(*static_cast<const OwnerOf<First>*>(owner)));
    },
    &kTypeTag<OwnerOf<First>>};

/// The node itself into a Node*, for scalars that can be compiled only when the rest is known.
template <auto First, auto... Rest>
inline constexpr Binding node_of = {[](SectionReader& reader, const Row& row, Node& node, void* owner) {
                                      if (reader.expect_scalar(row, node))
                                        follow<First, Rest...>(*static_cast<OwnerOf<First>*>(owner)) = &node;
                                    },
                                    nullptr, &kTypeTag<OwnerOf<First>>};

/// The node itself, whatever its kind, into a Node*.
template <auto Member>
inline constexpr Binding subtree_of = {
    [](SectionReader&, const Row&, Node& node, void* owner) { static_cast<OwnerOf<Member>*>(owner)->*Member = &node; },
    nullptr, &kTypeTag<OwnerOf<Member>>};

/// One of the row's choices into a member of enumeration type.
template <auto First, auto... Rest>
inline constexpr Binding choose = {
    [](SectionReader& reader, const Row& row, Node& node, void* owner) {
      const Choice* choice = reader.choose(row, node);
      if (choice == nullptr) return;
      auto& member = follow<First, Rest...>(*static_cast<OwnerOf<First>*>(owner));
      member = static_cast<std::remove_reference_t<decltype(member)>>(choice->value);
    },
    [](const Row& row, const void* owner) -> std::string {
      const auto value = static_cast<uint8_t>(follow<First, Rest...>(*static_cast<const OwnerOf<First>*>(owner)));
      for (const Choice& choice : row.choices) {
        if (choice.value == value && choice.presence != Presence::later) return std::string(choice.name);
      }
      return {};
    },
    &kTypeTag<OwnerOf<First>>};

/// A list of values into a vector.
template <auto First, auto... Rest>
inline constexpr Binding list = {[](SectionReader& reader, const Row& row, Node& node, void* owner) {
                                   auto& values = follow<First, Rest...>(*static_cast<OwnerOf<First>*>(owner));
                                   if (!reader.expect_list(row, node)) return;
                                   for (const Entry& entry : node.entries)
                                     read_value(reader, row, *entry.value, values.emplace_back());
                                 },
                                 nullptr, &kTypeTag<OwnerOf<First>>};

/// A list of scalars: its nodes into a vector<Node*>.
template <auto Member>
inline constexpr Binding nodes = {[](SectionReader& reader, const Row& row, Node& node, void* owner) {
                                    if (!reader.expect_list(row, node)) return;
                                    for (const Entry& entry : node.entries) {
                                      if (reader.expect_scalar(row, *entry.value))
                                        (static_cast<OwnerOf<Member>*>(owner)->*Member).push_back(entry.value);
                                    }
                                  },
                                  nullptr, &kTypeTag<OwnerOf<Member>>};

/// A map of scalars: its entries into a vector<const Entry*>.
template <auto Member>
inline constexpr Binding entries = {[](SectionReader& reader, const Row& row, Node& node, void* owner) {
                                      if (!reader.expect_map(row, node)) return;
                                      for (const Entry& entry : node.entries) {
                                        if (reader.expect_scalar(row, *entry.value))
                                          (static_cast<OwnerOf<Member>*>(owner)->*Member).push_back(&entry);
                                      }
                                    },
                                    nullptr, &kTypeTag<OwnerOf<Member>>};

/// A section of its own into a member.
template <auto First, auto... Rest>
inline constexpr Binding section = {[](SectionReader& reader, const Row& row, Node& node, void* owner) {
                                      auto& member = follow<First, Rest...>(*static_cast<OwnerOf<First>*>(owner));
                                      reader.read(row.child, node, &member,
                                                  &kTypeTag<std::remove_reference_t<decltype(member)>>);
                                    },
                                    nullptr, &kTypeTag<OwnerOf<First>>};

/// A list of sections into a vector; an element that has a member `node` gets its node.
template <auto Member>
inline constexpr Binding sections = {[](SectionReader& reader, const Row& row, Node& node, void* owner) {
                                       if (!reader.expect_list(row, node)) return;
                                       auto& elements = static_cast<OwnerOf<Member>*>(owner)->*Member;
                                       elements.reserve(elements.size() + node.entries.size());
                                       for (const Entry& entry : node.entries) {
                                         auto& element = elements.emplace_back();
                                         if constexpr (requires { element.node; }) element.node = entry.value;
                                         reader.read(row.child, *entry.value, &element,
                                                     &kTypeTag<std::remove_reference_t<decltype(element)>>);
                                       }
                                     },
                                     nullptr, &kTypeTag<OwnerOf<Member>>};

/// A list of sections that are read later: their nodes into a vector<Node*>.
template <auto Member>
inline constexpr Binding section_nodes = {[](SectionReader& reader, const Row& row, Node& node, void* owner) {
                                            if (!reader.expect_list(row, node)) return;
                                            auto& nodes = static_cast<OwnerOf<Member>*>(owner)->*Member;
                                            nodes.reserve(node.entries.size());
                                            for (const Entry& entry : node.entries) nodes.push_back(entry.value);
                                          },
                                          nullptr, &kTypeTag<OwnerOf<Member>>};

/// A map from names to sections into a vector; each element gets its `name` and `name_place`.
template <auto Member>
inline constexpr Binding named_sections = {[](SectionReader& reader, const Row& row, Node& node, void* owner) {
                                             if (!reader.expect_map(row, node)) return;
                                             auto& elements = static_cast<OwnerOf<Member>*>(owner)->*Member;
                                             elements.reserve(node.entries.size());
                                             for (const Entry& entry : node.entries) {
                                               if (!reader.expect_name(entry)) continue;
                                               auto& element = elements.emplace_back();
                                               element.name = entry.key;
                                               element.name_place = entry.key_place;
                                               if constexpr (requires { element.node; }) element.node = entry.value;
                                               reader.read(row.child, *entry.value, &element,
                                                           &kTypeTag<std::remove_reference_t<decltype(element)>>);
                                             }
                                           },
                                           nullptr, &kTypeTag<OwnerOf<Member>>};

template <auto Function>
struct OwnerOfFunction;
template <typename Owner, void (*Function)(SectionReader&, const Row&, Node&, Owner&)>
struct OwnerOfFunction<Function> {
  using Type = Owner;
};
/// A function of its own.
template <auto Function>
inline constexpr Binding by = {[](SectionReader& reader, const Row& row, Node& node, void* owner) {
                                 Function(reader, row, node,
                                          *static_cast<typename OwnerOfFunction<Function>::Type*>(owner));
                               },
                               nullptr, &kTypeTag<typename OwnerOfFunction<Function>::Type>};

}  // namespace sluice::control::bind

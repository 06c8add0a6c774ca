// life.cpp: the life of a node from C++, with the library's objects in smart pointers.
#include <sprat.h>
#include <memory>
#include <string>
#include <unistd.h>

template <typename T, void (*end)(T *)> struct Ender {
    void operator()(T *object) const { end(object); }
};
using Config = std::unique_ptr<sprat_config, Ender<sprat_config, sprat_config_free>>;
using Node = std::unique_ptr<sprat_node, Ender<sprat_node, sprat_node_free>>;
using Members = std::unique_ptr<sprat_members, Ender<sprat_members, sprat_members_free>>;

int main()
{
    alarm(300);
    Config config(sprat_config_new());
    sprat_config_set(config.get(), "bind", "127.0.0.1:0");
    sprat_config_set(config.get(), "name", std::string("plus-plus").c_str());
    sprat_node *raw = nullptr;
    if (sprat_node_start(config.get(), &raw) != SPRAT_OK)
        return 1;
    Node node(raw);
    sprat_members *list = nullptr;
    if (sprat_node_members(node.get(), &list) != SPRAT_OK)
        return 2;
    Members members(list);
    node.reset();
    const sprat_member *self = sprat_members_self(members.get());
    return self && self->name == std::string("plus-plus") ? 0 : 3;
}

"""A full feed: silent connections give way, members stay."""

from engage.feed.places import Places


def test_the_oldest_silent_connection_of_the_greediest_address_gives_way() -> None:
    places: Places[str] = Places(4)
    assert [places.take(name, "10.0.0.1") for name in ("a", "b", "c")] == [None] * 3
    assert places.take("d", "10.0.0.2") is None
    assert places.take("e", "10.0.0.2") == "a"
    places.leave("a", "10.0.0.1")
    assert places.take("f", "10.0.0.3") == "b"


def test_who_has_shown_credentials_does_not_give_way() -> None:
    places: Places[str] = Places(2)
    for name in ("a", "b"):
        assert places.take(name, "10.0.0.1") is None
        places.keep(name, "10.0.0.1")
    assert places.take("c", "10.0.0.1") is None, "nobody gives way to it, so it is refused"
    assert places.are_full
    places.leave("a", "10.0.0.1")
    assert not places.are_full


def test_addresses_of_one_ipv6_network_are_one() -> None:
    places: Places[str] = Places(2)
    assert places.take("a", "2001:db8::1") is None
    assert places.take("b", "2001:db8::2%eth0") is None
    assert places.take("c", "2001:db8:0:1::1") == "a"

#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# memcached-client.pl HOST PORT: set, get and incr on one connection until stdin ends. Every value must be the one that
# was set last, every count one more than the one before.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Time::HiRes qw(sleep time);
use client;

my ($host, $port) = @ARGV;
my %value;
connect_to($host, $port);

sub set {
	my ($key, $value) = @_;
	say_to("set $key 7 0 ", length $value, "\r\n$value\r\n");
	my $got = read_line();
	$got eq 'STORED' or die "set $key: $got\n";
	$value{$key} = $value;
}

sub check {
	my $key = shift;
	say_to("get $key\r\n");
	my $got = read_line();
	$got eq "VALUE $key 7 " . length $value{$key} or die "get $key: $got\n";
	read_bytes(length $value{$key}) eq $value{$key} or die "get $key: another value\n";
	read_line() eq '' && read_line() eq 'END' or die "get $key: no end\n";
}

srand(7);
set("key$_", pack('L*', map { int rand 2**32 } 1 .. 2048)) for 0 .. 999;
set('n', '0');
my ($n, $gap) = (0, 0);
print "ready\n";
until (asked_to_end()) {
	my $t = time;
	say_to("incr n 1\r\n" x 20);
	for (1 .. 20) {
		my $got = read_line();
		$got eq ++$n or die "wanted $n, got $got\n";
	}
	set('key' . int rand 1000, pack 'L*', map { int rand 2**32 } 1 .. 1 + int rand 2048);
	check('key' . int rand 1000);
	$gap = time - $t if time - $t > $gap;
	sleep 0.005;
}
delete $value{n};
check($_) for keys %value;
print "data equal\n";
print $n > 500 ? "no reply lost or doubled\n" : "only $n replies\n";
printf "# longest gap %.0f ms, %d replies\n", $gap * 1000, $n;

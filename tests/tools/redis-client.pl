#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# redis-client.pl HOST PORT MEGABYTES: INCRs on one connection, in batches, until stdin ends. Each reply must be one more
# than the one before, and the digest of the other keys what it was.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Time::HiRes qw(sleep time);
use client;

my ($host, $port, $megabytes) = @ARGV;
connect_to($host, $port);

sub command { say_to('*' . @_ . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @_) }

sub digest {
	command('SET', 'n', 0);
	read_line();
	command('DEBUG', 'DIGEST');
	return read_line();
}

srand(7);
for my $i (1 .. $megabytes * 64) {
	command('SET', "key$i", pack('L*', map { int rand 2**32 } 1 .. 4096));
	read_line() eq '+OK' or die "SET failed\n";
}
my $before = digest();
my ($n, $gap) = (0, 0);
print "ready\n";
until (asked_to_end()) {
	my $t = time;
	say_to("INCR n\r\n" x 50);
	for (1 .. 50) {
		my $got = read_line();
		$got eq ':' . ++$n or die "wanted :$n, got $got\n";
	}
	$gap = time - $t if time - $t > $gap;
	sleep 0.005;
}
command('GET', 'n');
read_line();
read_line() == $n or die "the counter is not what was counted\n";
my $after = digest();
print $after eq $before ? "data equal\n" : "data differ: $before $after\n";
print $n > 500 ? "no reply lost or doubled\n" : "only $n replies\n";
printf "# longest gap %.0f ms, %d replies\n", $gap * 1000, $n;

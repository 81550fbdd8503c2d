#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# star.pl PORT HOST:PORT...: the middle of a star of services that talk HTTP: each request that it gets, it asks of all the
# others, over connections that it keeps. What they all answer is its answer; where they differ it says so and ends.
use strict;
use warnings;
use IO::Select;
use Socket;

my ($port, @others) = @ARGV;

sub link_to {
	my ($host, $at) = split /:/, shift;
	my $c;
	for (1 .. 200) {
		socket($c, PF_INET, SOCK_STREAM, 0) or die "$!\n";
		my $ip = inet_aton($host) or die "$host: unknown\n";
		return $c if connect $c, sockaddr_in($at, $ip);
		select undef, undef, undef, 0.05;
	}
	die "$host: $!\n";
}

sub ask {
	my $c = shift;
	my $in = '';
	syswrite $c, "GET / HTTP/1.1\r\nHost: star\r\n\r\n";
	while (1) {
		sysread $c, $in, 4096, length $in or die "an arm has closed: $!\n";
		return $1 if $in =~ /\r\n\r\n(\d+)\n/;
	}
}

my @arms = map { link_to($_) } @others;
socket(my $s, PF_INET, SOCK_STREAM, 0) or die "$!\n";
setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
bind($s, sockaddr_in($port, INADDR_ANY)) && listen($s, 5) or die "$!\n";
my $all = IO::Select->new($s);
my %in;
while (1) {
	for my $c ($all->can_read) {
		if ($c == $s) {
			accept(my $new, $s) or next;
			$in{$new} = '';
			$all->add($new);
			next;
		}
		if (!sysread $c, $in{$c}, 4096, length $in{$c}) {
			$all->remove($c);
			next;
		}
		while ($in{$c} =~ s/^.*?\r\n\r\n//s) {
			my ($first, @rest) = map { ask($_) } @arms;
			$_ == $first or die "one arm counts $first, another one $_\n" for @rest;
			my $body = "$first\n";
			syswrite $c, "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
		}
	}
}

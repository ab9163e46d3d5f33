import { killsHosts } from '../../support/kill-hosts.js'

killsHosts('released', 60)

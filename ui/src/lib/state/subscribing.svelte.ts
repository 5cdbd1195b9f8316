/** Somebody wants to subscribe: the panel that can do it listens and takes the focus. */
class Subscribing {
  asked = $state(false);

  ask(): void {
    this.asked = true;
  }
}

export const subscribing = new Subscribing();

/** Holds what has to be given back in the end, last first (DisposableStack, which Node 20 lacks). */
export class Owner implements Disposable {
	readonly #held: Disposable[] = [];

	use<T extends Disposable>(thing: T): T {
		this.#held.push(thing);
		return thing;
	}

	[Symbol.dispose](): void {
		for (const thing of this.#held.splice(0).reverse()) thing[Symbol.dispose]();
	}
}
